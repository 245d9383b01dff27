"""Guides in the loop: masks against NumPy, searches against transformers, and answers against ``re``."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pytest
import tensorflow as tf
import torch

from exporter.errors import OptionError, UnsupportedError
from exporter.generation.generation_options import GenerationOptions, resolve_options
from exporter.generation.guides import NOWHERE, Guides
from exporter.generation.result import FinishReason, Generated
from exporter.generation.rows import check_rows, default_rows
from exporter.guides import Guide, GuideTable, compile_guide
from tests.generation.test_greedy import run
from tests.generation.toy import TorchToy, random_weights

EOS = 1
# Tokens that end inside of words, numbers and characters, and some that are no text.
TOKENS = [
    *(b"", b"", b"a", b"b", b"ab", b"ba", b"abc", b"0", b"1", b"7", b"12", b"-", b".5", b"e"),
    *(b'"', b'"a', b'a"', b'":', b'": ', b": ", b", ", b", ", b"{", b'{"', b"}", b"[", b"]", b"],", b"true"),
    *(b"false", b"null", b" ", b"yes", b"no", b"maybe", b"y", b"es", "é".encode()[:1], "é".encode()[1:]),
    *(b"id", b"name", b"tags", b'"id"', b'"na', b'me"', b"ye", b"n"),
]
VOCAB = len(TOKENS)
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": "string", "maxLength": 5},
        "tags": {"type": "array", "items": {"enum": ["a", "b", 7]}, "maxItems": 2},
    },
    "required": ["id"],
    "additionalProperties": False,
}
REGEX = Guide("regex", r"(ab|ba)*-?[0-9]{1,4}(\.5)?é?")
CHOICE = Guide("choice", ("yes", "no", "maybe", "yesyes", "é"))
JSON = Guide("json", SCHEMA)
PROMPTS = [[3, 4, 5], [7], [2, 3, 4, 5, 6], [9, 9]]
WEIGHTS = random_weights(VOCAB, 5, scale=1.0)


@functools.cache
def table(guide: Guide) -> GuideTable:
    return compile_guide(guide, TOKENS, [EOS], [0])


@functools.cache
def guides(*chosen: Guide) -> Guides:
    return Guides([table(guide) for guide in chosen])


def is_valid(guide: Guide, text: str) -> bool:
    if guide.kind == "regex":
        return re.fullmatch(guide.source, text) is not None
    if guide.kind == "choice":
        return text in guide.source
    try:
        jsonschema.validate(json.loads(text), SCHEMA)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


def after(guide: Guide, ids: list[int]) -> int:
    """The state of a guide's own table after some tokens; NOWHERE after one that it does not allow."""
    state = 0
    for token in ids:
        state = -1 if state < 0 else int(table(guide).next_state[state, table(guide).token_class[token]])
    return state


def check_answers(got: Generated, guide_of_row: Callable[[int], Guide]) -> int:
    """How many answers ended by themselves: each must be valid, and each other one begin a valid one."""
    stopped = 0
    for row, sequences in enumerate(got.sequences):
        for ids, count, reason in zip(
            sequences.tolist(), got.num_tokens[row], got.finish_reason[row], strict=True
        ):
            guide, text = guide_of_row(row), b"".join(TOKENS[token] for token in ids[:count])
            assert after(guide, ids[:count]) != NOWHERE, (guide, text)
            if reason == FinishReason.STOP:
                assert ids[count - 1] == EOS
                assert is_valid(guide, text.decode()), (guide, text)
                stopped += 1
    return stopped


def test_masks_and_states_are_the_tables() -> None:
    rng = np.random.default_rng(0)
    tables = [random_table(rng, states, classes) for states, classes in ((3, 2), (7, 5), (2, 9))]
    joint = Guides(tables)
    chosen = rng.integers(-1, 3, 60)
    state, own = joint.start(tf.constant(chosen, tf.int32)), np.zeros(60, int)
    for _ in range(6):
        allowed = joint.allowed(state).numpy()
        tokens = rng.integers(0, VOCAB, 60)
        for row, guide in enumerate(chosen):
            # Whoever has left a guide is as free as who never had one.
            free = guide < 0 or own[row] < 0
            want = np.ones(VOCAB, bool) if free else tables[guide].allowed(own[row])
            assert (allowed[row] == want).all()
            if guide >= 0 and own[row] >= 0:
                own[row] = tables[guide].next_state[own[row], tables[guide].token_class[tokens[row]]]
        state = joint.advance(state, tf.constant(tokens, tf.int32))
        assert ((state.numpy() < 0) == ((own < 0) & (chosen >= 0))).all()


def random_table(rng: np.random.Generator, states: int, classes: int) -> GuideTable:
    table = rng.integers(-1, states, (states, classes)).astype(np.int32)
    table[:, 0] = rng.integers(0, states, states)
    return GuideTable(table, rng.integers(0, classes, VOCAB).astype(np.int32))


def test_states_after_given_tokens_are_those_of_one_token_at_a_time() -> None:
    joint, rng = guides(REGEX, CHOICE), np.random.default_rng(1)
    start = joint.start(tf.constant([0, 1, -1, 0]))
    tokens = rng.integers(0, VOCAB, (4, 5)).astype(np.int32)
    tokens[0, :3] = [TOKENS.index(b"ab"), TOKENS.index(b"ba"), TOKENS.index(b"7")]
    counts = [3, 5, 2, 0]
    got = joint.after(tf.constant(tokens), tf.constant(counts), start).numpy()
    for row, count in enumerate(counts):
        state = start[row : row + 1]
        for token in tokens[row, :count]:
            state = joint.advance(state, tf.constant([token]))
        assert got[row] == state[0]


def test_nothing_else_is_left_where_processors_ban_all_that_is_allowed() -> None:
    joint = guides(CHOICE)
    state = joint.start(tf.constant([0, -1]))
    model = tf.random.stateless_normal([2, VOCAB], (1, 2))
    banned = tf.where(joint.allowed(state), -np.inf, model)
    got = joint.mask(banned, state, model).numpy()
    allowed = table(CHOICE).allowed(0)
    assert (got[0, allowed] == model.numpy()[0, allowed]).all()
    assert np.isneginf(got[0, ~allowed]).all()
    assert np.isneginf(got[1]).all(), "without a guide a row stays as the processors left it"


PROCESSORS: list[dict[str, Any]] = [
    {},
    {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2},
    {"min_new_tokens": 6, "suppress_tokens": (EOS,)},
    {"forced_eos_token_id": (EOS,), "bad_words_ids": ((8,), (32,), (14, 2)), "top_p": 0.9},
]


@pytest.mark.parametrize(
    ("processors", "beams"),
    [
        (1, 1),
        *(
            pytest.param(*pair, marks=pytest.mark.full)
            for pair in ((0, 1), (2, 1), (3, 1), (0, 3), (1, 3), (2, 3), (3, 3))
        ),
    ],
)
def test_every_drawn_answer_that_stops_is_valid(processors: int, beams: int) -> None:
    rows = 192 if beams == 1 else 48
    options = GenerationOptions(
        max_new_tokens=16,
        eos_token_id=(EOS,),
        do_sample=True,
        num_beams=beams,
        num_return_sequences=beams,
        temperature=1.5,
        **PROCESSORS[processors],
    )
    followed = (REGEX, CHOICE, JSON)
    chosen = default_rows(options, rows)._replace(
        seed=tf.range(rows, dtype=tf.int64) * 100, guide=tf.range(rows) % 3
    )
    prompts = [PROMPTS[row % len(PROMPTS)] for row in range(rows)]
    got = run(options, prompts, chosen, weights=WEIGHTS, guides=guides(*followed))
    stopped = check_answers(got, lambda row: followed[row % 3])
    assert stopped > rows // 4


@pytest.mark.full
@pytest.mark.parametrize("guide", [REGEX, CHOICE, JSON])
def test_thousands_of_answers(guide: Guide) -> None:
    options = GenerationOptions(
        max_new_tokens=24, eos_token_id=(EOS,), do_sample=True, num_return_sequences=16
    )
    chosen = default_rows(options, 256)._replace(seed=tf.range(256, dtype=tf.int64) * 1000)
    options = options.model_copy(update={f"guided_{guide.kind}": guide.source})
    got = run(options, PROMPTS * 64, chosen, weights=WEIGHTS, guides=guides(guide))
    assert check_answers(got, lambda row: guide) > 2000


@pytest.mark.parity
@pytest.mark.parametrize(
    ("guide", "beams"),
    [
        (REGEX, 1),
        (CHOICE, 3),
        *(pytest.param(guide, 3, marks=pytest.mark.full) for guide in (REGEX, JSON)),
    ],
)
def test_searches_equal_the_reference_with_allowed_tokens(guide: Guide, beams: int) -> None:
    """``prefix_allowed_tokens_fn`` of transformers, which masks as a guide does."""
    options = {"eos_token_id": EOS, "pad_token_id": 0, "max_new_tokens": 12, "num_beams": beams}
    options |= {"num_return_sequences": beams, "repetition_penalty": 1.3}
    resolved = resolve_options(None, {}, {**options, f"guided_{guide.kind}": guide.source}, vocab_size=VOCAB)
    got = run(resolved, PROMPTS, weights=WEIGHTS, guides=guides(guide))
    check_answers(got, lambda row: guide)
    model = TorchToy(WEIGHTS)
    for row, prompt in enumerate(PROMPTS):

        def allowed(batch: int, ids: Any, read: int = len(prompt)) -> list[int]:
            state = after(guide, ids[read:].tolist())
            # What has been left is a beam that never comes back; the reference wants some token.
            return np.flatnonzero(table(guide).allowed(state)).tolist() if state >= 0 else [EOS]

        want = model.generate(
            torch.tensor([prompt]), use_cache=False, prefix_allowed_tokens_fn=allowed, **options
        )
        for beam in range(beams):
            count = got.num_tokens[row, beam]
            ids = want[beam, len(prompt) :].tolist()
            assert got.sequences[row, beam, :count].tolist() == ids[:count], (row, beam)


@pytest.mark.full
@pytest.mark.parametrize("beams", [1, 2])
def test_rows_of_a_batch_answer_as_each_alone_and_without_a_guide_as_without_any(beams: int) -> None:
    options = GenerationOptions(max_new_tokens=10, eos_token_id=(EOS,), num_beams=beams)
    followed = [0, 2, -1, 1]

    def ask(prompts: list[list[int]], chosen: list[int]) -> Generated:
        rows = default_rows(options, len(prompts))._replace(guide=tf.constant(chosen))
        return run(options, prompts, rows, weights=WEIGHTS, guides=guides(REGEX, CHOICE, JSON), length=8)

    together = ask(PROMPTS, followed)
    for row, guide in ((1, 2), (3, 1)):
        alone = ask(PROMPTS[row : row + 1], [guide])
        assert (alone.sequences[0] == together.sequences[row]).all()
    plain = run(options, PROMPTS, weights=WEIGHTS, length=8)
    assert (plain.sequences[2] == together.sequences[2]).all()
    assert (plain.sequences[0] != together.sequences[0]).any()


@pytest.mark.full
def test_prompt_lookup_gives_the_ids_of_greedy_search() -> None:
    options = GenerationOptions(
        max_new_tokens=10, eos_token_id=(EOS,), guided_regex=REGEX.source, prompt_lookup_num_tokens=3
    )
    plain = options.model_copy(update={"prompt_lookup_num_tokens": 0})
    got, want = (run(each, PROMPTS, weights=WEIGHTS, guides=guides(REGEX)) for each in (options, plain))
    assert (got.sequences == want.sequences).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_regex and guided_choice: one answer follows"),
        ({"guided_json": "{"}, "is not JSON"),
        ({"guided_choice": []}, None),
        ({"guided_regex": "a", "stop_strings": ["b"]}, "guided_regex: a guide says where an answer ends"),
        ({"guided_regex": "a", "forced_bos_token_id": 3}, "forced_bos_token_id=3 would not be"),
        ({"guided_regex": "a", "eos_token_id": None}, "guided_regex: needs an eos_token_id"),
    ],
)
def test_what_does_not_go_with_a_guide(options: dict[str, Any], message: str | None) -> None:
    options = {"eos_token_id": EOS} | options
    if message is None:
        assert resolve_options(None, {}, options, vocab_size=VOCAB).guide is None
        return
    with pytest.raises(OptionError, match=re.escape(message)):
        resolve_options(None, {}, options, vocab_size=VOCAB)


def test_grammars_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="guided_grammar='root ::= a'"):
        resolve_options(None, {}, {"guided_grammar": "root ::= a"}, vocab_size=VOCAB)


def test_a_schema_is_the_same_however_it_is_given() -> None:
    one, other = (
        resolve_options(None, {}, {"eos_token_id": 1, "guided_json": given}, vocab_size=VOCAB)
        for given in (SCHEMA, json.dumps(SCHEMA))
    )
    assert one == other
    assert one.guide == JSON


def test_a_rows_guide_is_checked() -> None:
    options = GenerationOptions()
    rows = default_rows(options, 4)._replace(guide=tf.constant([-1, 1, 2, -2]))
    good, also, high, low = check_rows(rows, options, guides=2).numpy()
    assert (good, also) == (b"", b"")
    assert (high, low) == (
        b"guide=2: allowed: 0 to 1, or -1 (none)",
        b"guide=-2: allowed: 0 to 1, or -1 (none)",
    )
