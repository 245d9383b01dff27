"""guided_regex allows what re.fullmatch matches; a schema's pattern what re.search and ECMA-262 both find."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from exporter.errors import OptionError, UnsupportedError
from exporter.guides import Guide, charsets, compile_guide, language
from tests.guides.walks import EOS, PIECES, SPECIAL, answers

PATTERNS = [
    *(r"", r"a", r"abc|ab|a", r"(a|b)*c", r"a{2,3}b?", r"a{0}", r"(?:ab){1,}?", r"[a-c]+[^a-c]"),
    *(r"\d\D\w\W\s\S", r"(?a:\w+)", r".", r"(?s:.)", r"^a", r"a$", r"^$", r"^", r"$", r"\Aab\Z", r"a^b"),
    *(r"a$b", r"a$\n?", r"(a$|b)\n", r"($)*\n*", r"a*?b+?", r"(?i)aé|k", r"(?i:[a-c])b", r"[\s\S]"),
    *(r"[^\d\n]", r"(a*)*b", r"(|a)+", r"\x41\u00e9\U0001f600", r"[-\]^]+", r"(?P<x>a)b", r"(?x) a b # c"),
    *(r"é|日本|😀", r"[à-ÿ]{1,2}", r"[\U0001f5ff-\U0001f601]", r"[^\x00-\uffff]", r"\n|\t", r"a\.b\*"),
]
ALPHABET = [*"abcAkK1٣_ \n\t\u00a0\x1féÉ日本😀.-]"]


def texts(seed: int, count: int) -> list[str]:
    """Every text of up to two characters, and longer ones drawn from few."""
    rng = random.Random(seed)
    short = ["".join(pair) for size in range(3) for pair in itertools.product(ALPHABET, repeat=size)]
    return short + ["".join(rng.choices(rng.sample(ALPHABET, 3), k=rng.randint(3, 8))) for _ in range(count)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_full_matches(pattern: str, full: bool) -> None:
    machine = language(Guide("regex", pattern))
    compiled = re.compile(pattern)
    for text in texts(len(pattern), 20_000 if full else 500):
        assert machine.accepts(text.encode()) == bool(compiled.fullmatch(text)), text
    # No ill-formed text: half a character, a surrogate, a code too large, one too long.
    for text in (b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xff"):
        assert not machine.accepts(text)


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p not in ("a^b", "a$b", r"a^b")])
def test_answers_match(pattern: str, full: bool) -> None:
    table = compile_guide(Guide("regex", pattern), PIECES, [EOS], SPECIAL)
    for text in answers(table, PIECES, EOS, 500 if full else 10, seed=1):
        assert re.fullmatch(pattern, text.decode()), text


@pytest.mark.parametrize(
    "pattern",
    [
        "a",
        "^a",
        "a$",
        "^a$",
        "",
        "^$",
        "^a|b$",
        "(^|-)a($|-)",
        "[0-9]{2}",
        '^[^"\\\\]*$',
        "^(a|b)+$",
        r"\/a\.b",
    ],
)
def test_patterns_of_schemas_are_searched(pattern: str) -> None:
    machine = language(Guide("json", {"type": "string", "pattern": pattern}))
    searched = re.compile(pattern.replace("$", r"\Z"))
    for text in texts(7, 1000):
        written = text.replace("\n", "\\n").replace("\t", "\\t")
        if "\x1f" not in text:
            assert machine.accepts(f'"{written}"'.encode()) == bool(searched.search(text)), text


@pytest.mark.parametrize(
    "pattern", [r"^\d$", r"^\D$", r"^\w$", r"^\W$", r"^\s$", r"^\S$", r"^[^\s]$", r"^.$", r"^[^\d]$"]
)
def test_classes_of_schemas_hold_for_both_dialects(pattern: str) -> None:
    """ECMA-262's classes, written out, and Python's."""
    white = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
    ecma = {
        r"\d": "0-9", r"\D": "^0-9",
        r"\w": "A-Za-z0-9_", r"\W": "^A-Za-z0-9_", r"\s": white, r"\S": f"^{white}",
        r"[^\s]": f"^{white}", ".": "^\n\r\u2028\u2029", r"[^\d]": "^0-9",
    }[pattern[1:-1]]  # fmt: skip
    machine = language(Guide("json", {"type": "string", "pattern": pattern}))
    for code in [*range(0x20, 0x3100), 0xFEFF, 0x1D7CE]:
        character = chr(code)
        if character not in '"\\' and machine.accepts(f'"{character}"'.encode()):
            assert re.search(f"^[{ecma}]$", character), hex(code)
            assert re.search(pattern, character), hex(code)
    assert machine.accepts(b'"5"') == (pattern in (r"^\d$", r"^\w$", r"^\S$", r"^[^\s]$", r"^.$"))


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        (r"(?=a)b", "assert"),
        (r"(?!a)b", "assert_not"),
        (r"(?<=a)b", "assert"),
        (r"(a)\1", "groupref"),
        (r"\ba", "boundary"),
        (r"a\B", "non_boundary"),
        (r"(?>a)", "atomic_group"),
        (r"a*+b", "possessive_repeat"),
        (r"(?m)^a", "MULTILINE"),
        (r"(a)?(?(1)b|c)", "groupref_exists"),
    ],
)
def test_refused_by_name(pattern: str, named: str) -> None:
    with pytest.raises(
        UnsupportedError, match=rf"guided_regex: .*{named.replace('_', '.')}.* cannot be made a table"
    ):
        language(Guide("regex", pattern))


@pytest.mark.parametrize("pattern", ["(", "[a", "a**", "*", r"\p{L}", "(?z)", "[a-\\d]", "[[a]"])
def test_wrong_patterns(pattern: str) -> None:
    with pytest.raises(OptionError, match=r"guided_regex: .* is not a regular expression: "):
        language(Guide("regex", pattern))


def test_utf8_of_every_character() -> None:
    """The automaton of a random set holds exactly its characters, over all code points."""
    rng = random.Random(3)
    edges = sorted(
        [*rng.sample(range(0x110000), 40), 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000]
    )
    members = charsets.ranges(zip(edges[::2], edges[1::2], strict=True))
    every = [chr(code) for code in (*range(0, 0xD800, 47), *range(0xE000, 0x110000, 601))]
    every += [chr(code + step) for code in edges for step in (-1, 0, 1) if not 0xD800 <= code + step < 0xE000]
    sequences = charsets.utf8(members)
    for character in every:
        data = character.encode()
        holding = [
            sequence
            for sequence in sequences
            if len(sequence) == len(data)
            and all(low <= byte <= high for byte, (low, high) in zip(data, sequence, strict=True))
        ]
        assert len(holding) == any(low <= ord(character) <= high for low, high in members)
