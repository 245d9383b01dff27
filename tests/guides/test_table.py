"""The table over tokens: every state allows something, and exactly the texts of the guide get through."""

from __future__ import annotations

import itertools
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest

from exporter.errors import OptionError, UnsupportedError
from exporter.guides import Guide, GuideTable, compile_guide, language
from tests.guides.schemas import CASES
from tests.guides.walks import EOS, PIECES, SPECIAL, answers, distances, spelled

SMALL = [b"", b"", b" ", b"a", b"b", b"ab", b"abc", b" a", b"c", b"\xc3", b"\xa9", b"\xa9a"]


def texts(
    table: GuideTable, vocabulary: list[bytes], first: list[bytes] | None = None, most: int = 4
) -> set[bytes]:
    """Every whole answer of up to so many tokens."""
    found, todo = set(), [(0, b"", 0)]
    while todo:
        state, text, size = todo.pop()
        for token in np.flatnonzero(table.allowed(state)).tolist():
            following = int(table.next_state[state, table.token_class[token]])
            if token == EOS:
                assert following == table.states - 1
                found.add(text)
            elif size < most:
                piece = (first if first and size == 0 else vocabulary)[token]
                todo.append((following, text + piece, size + 1))
    return found


def spelled_by(vocabulary: list[bytes], first: list[bytes], most: int = 4) -> set[bytes]:
    usable = [token for token, piece in enumerate(vocabulary) if piece and token not in SPECIAL]
    return {
        b"".join(first[t] if n == 0 else vocabulary[t] for n, t in enumerate(tokens))
        for size in range(most + 1)
        for tokens in itertools.product(usable, repeat=size)
    }


@pytest.mark.parametrize(
    "pattern", ["(ab)*", "abc|abd|é", "a+é?a*", "(a|b|c){2,3}", "é*", "[^a]b?", " ?a{2}"]
)
def test_exactly_the_texts_that_tokens_spell(pattern: str) -> None:
    """By trying every sequence of tokens; tokens begin and end inside characters and parts."""
    first = [piece.removeprefix(b" ") for piece in SMALL]
    for beginning in (None, first):
        table = compile_guide(Guide("regex", pattern), SMALL, [EOS], SPECIAL, first=beginning)
        expected = set()
        for text in spelled_by(SMALL, beginning or SMALL):
            try:
                expected |= {text} if re.fullmatch(pattern, text.decode()) else set()
            except UnicodeDecodeError:
                continue
        assert texts(table, SMALL, beginning) == expected


def test_a_first_token_that_is_nothing() -> None:
    """Only the first space is taken away; a special token of no text stays forbidden."""
    vocabulary, first = [b"", b"", b" ", b" a", b"a"], [b"", b"", b"", b"a", b"a"]
    table = compile_guide(Guide("regex", " ?a"), vocabulary, [EOS], SPECIAL, first=first)
    assert table.allowed(0).tolist() == [False, False, True, True, True]
    assert texts(table, vocabulary, first) == {b"a", b" a"}
    repeated = compile_guide(Guide("regex", "( a)+"), vocabulary, [EOS], SPECIAL, first=None)
    assert texts(repeated, vocabulary) == {b" a", b" a a", b" a a a", b" a a a a"}


def test_choices_hold_what_they_say() -> None:
    choice = ("yes", "no", "a.b", "", "né", "yes, it is")
    table = compile_guide(Guide("choice", choice), PIECES, [EOS], SPECIAL)
    assert {text.decode() for text in answers(table, PIECES, EOS, 300, seed=0)} == set(choice)


def test_dead_ends_are_cut_off() -> None:
    """Without a token for c, nothing may begin that only c could end."""
    vocabulary = [b"", b"", b"a", b"b", b"d"]
    table = compile_guide(Guide("regex", "ab*c|ad|b(a|c)*d"), vocabulary, [EOS], SPECIAL)
    assert texts(table, vocabulary) == {b"ad", b"bd", b"bad", b"baad"}
    assert not table.allowed(int(table.next_state[0, table.token_class[2]]))[3]


@pytest.mark.parametrize("name", ["person", "anything", "email", "length", "enum"])
def test_every_state_allows_a_way_to_the_end(name: str) -> None:
    table = compile_guide(Guide("json", CASES[name].schema), PIECES, [EOS, 1], SPECIAL)
    assert (distances(table) < table.states).all()
    end = table.states - 1
    assert np.flatnonzero(table.allowed(end)).tolist() == [0, 1]
    ending = table.next_state[:, table.token_class[EOS]]
    assert set(ending.tolist()) == {-1, end}
    # No two classes are one, and special tokens but the ends are never allowed.
    assert len(np.unique(table.next_state, axis=1).T) == table.classes
    special = compile_guide(Guide("json", CASES[name].schema), PIECES, [EOS], [0, 1, PIECES.index(b"abc")])
    assert not any(special.allowed(s)[[1, PIECES.index(b"abc")]].any() for s in range(special.states))


def test_nothing_that_can_be_spelled() -> None:
    with pytest.raises(OptionError, match=r"guided_choice: no answer of this vocabulary's tokens is allowed"):
        compile_guide(Guide("choice", ["z"]), SMALL, [EOS], SPECIAL)
    with pytest.raises(OptionError, match=r"guided_regex: it allows no text at all"):
        compile_guide(Guide("regex", "a^b"), SMALL, [EOS], SPECIAL)
    with pytest.raises(OptionError, match=r"guided_regex: the model has no end-of-sequence token"):
        compile_guide(Guide("regex", "a"), SMALL, [], SPECIAL)
    with pytest.raises(OptionError, match=r"guided_regex: eos_token_id \[99\]; allowed: 0 to 11"):
        compile_guide(Guide("regex", "a"), SMALL, [99], SPECIAL)
    with pytest.raises(OptionError, match=r"guided_regex: .*(nest too deep|not a regular expression)"):
        language(Guide("regex", "(" * 400 + "a" + ")" * 400))


@pytest.mark.parametrize(
    ("guide", "limit"),
    [
        (Guide("regex", "(a{1000}){1000}"), 500),
        (Guide("regex", "(a|b)*a(a|b){20}"), 300),
        (Guide("regex", r"\w{5000}"), 1500),
        (Guide("choice", ["x" * 2000]), 1000),
        (Guide("json", True, depth=10), 1000),
        (Guide("json", {"type": "array", "minItems": 10**12}), 300),
        (Guide("json", {"type": "array", "maxItems": 10**12}), 300),
    ],
)
def test_the_limit_is_reached_before_memory_is_spent(guide: Guide, limit: int) -> None:
    tracemalloc.start()
    with pytest.raises(OptionError, match=rf"^guided_\w+: .*more than {limit} states; allowed: {limit}"):
        compile_guide(guide, PIECES, [EOS], SPECIAL, limit=limit)
    assert tracemalloc.get_traced_memory()[1] < 500 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("choice", []), "guided_choice: []; allowed: a list"),
        (("choice", "yes"), "guided_choice: 'yes'; allowed: a list"),
        (("choice", [1]), "guided_choice: [1]"),
        (("regex", 3), "guided_regex: 3; allowed: a regular"),
        (("json", 3), "guided_json: 3; allowed: a JSON Schema"),
        (("yaml", ""), "kind 'yaml'; allowed: regex, choice, json"),
        (("json", {"const": float("nan")}), "guided_json"),
        (("json", {}, 0), "guided_json: depth 0; allowed: 1 to 10"),
        (("choice", ["\ud800"]), "half a character"),
        (("regex", "\ud800"), "half a character"),
    ],
)
def test_wrong_guides(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        Guide(*arguments)


def test_grammars_are_refused_by_name() -> None:
    with pytest.raises(
        UnsupportedError, match=r"guided_grammar: .*allowed: guided_regex, guided_choice, guided_json"
    ):
        Guide("grammar", "root ::= root")


def test_guides_are_keys() -> None:
    """Equal where they say the same, properties in the same order."""
    one, two = Guide("json", {"type": "object"}), Guide("json", '{"type":   "object"}')
    assert one == two
    assert (
        len({one, two, Guide("json", {"type": "array"}), Guide("choice", ["a"]), Guide("choice", ("a",))})
        == 3
    )
    assert one.schema == {"type": "object"}


@pytest.mark.parametrize("name", ["person", "length", "email"])
def test_minimal(name: str) -> None:
    """Moore's refinement, done plainly, finds no two states that are one."""
    machine = language(Guide("json", CASES[name].schema))
    block = machine.accepting.astype(int)
    while True:
        padded = np.append(block, -1)
        keys = np.column_stack([block, padded[machine.edges]])
        finer = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
        if finer.max() == block.max():
            break
        block = finer
    assert len(set(block.tolist())) == machine.states


def test_spelled_refuses_what_is_not_allowed() -> None:
    table = compile_guide(Guide("choice", ["abc"]), PIECES, [EOS], SPECIAL)
    assert spelled(table, PIECES, EOS, b"abc")
    assert not spelled(table, PIECES, EOS, b"ab")
    assert not spelled(table, PIECES, EOS, b"abcc")
