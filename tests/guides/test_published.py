"""Published vocabularies: what the library decodes of ids that a table lets through is valid."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jsonschema
import numpy as np
import pytest
import tokenizers

from exporter.guides import Guide, GuideTable, compile_guide
from exporter.tokenizer import nodes
from exporter.tokenizer.decoders import build_decoder, special_strings, token_strings
from tests.guides.schemas import CASES
from tests.guides.walks import drawn
from tests.tokenizer.published import folder_of

#: A folder and its end of sequence: bytes, and SentencePiece's leading space with and without byte tokens.
ENDS = {"gpt2": "<|endoftext|>", "mistral-7b-v0.1": "</s>", "t5": "</s>", "bert-base-uncased": "[SEP]"}


class Published(NamedTuple):
    tokenizer: tokenizers.Tokenizer
    texts: list[bytes]
    first: list[bytes]
    eos: int
    special: list[int]

    def table(self, guide: Guide) -> GuideTable:
        return compile_guide(guide, self.texts, [self.eos], self.special, first=self.first)

    def decoded(self, table: GuideTable, count: int, seed: int) -> list[str]:
        """Answers as the library decodes them."""
        rows = drawn(table, self.eos, count, seed)
        return [self.tokenizer.decode(row, skip_special_tokens=True) for row in rows]


@cache
def published(name: str) -> Published:
    file = Path(folder_of(name)) / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    node = nodes.parse_tokenizer(json.loads(file.read_text())).decoder
    tokens, special = token_strings(tokenizer), special_strings(tokenizer)
    decoder = build_decoder(node, tokens, special)
    return Published(
        tokenizer,
        decoder.token_bytes(len(tokens)),
        decoder.token_bytes(len(tokens), first=True),
        tokenizer.token_to_id(ENDS[name]),
        [tokenizer.token_to_id(token) for token in special],
    )


@pytest.mark.parametrize("name", ENDS)
def test_texts_that_begin_with_and_without_a_space(test_data: Path, name: str, full: bool) -> None:
    it = published(name)
    for pattern in (r" ?[a-z]{1,12}( [a-z]{1,12}){0,3}", r"(é|日本|x){1,4}|no", r" {0,3}a"):
        for text in it.decoded(it.table(Guide("regex", pattern)), 500 if full else 30, seed=0):
            assert re.fullmatch(pattern, text), text
    choice = ("yes", "no", "not sure", "  indented")
    answers = set(it.decoded(it.table(Guide("choice", choice)), 200, seed=1))
    # BERT's tokens have single spaces between them.
    assert answers == set(choice) - ({"  indented"} if name == "bert-base-uncased" else set())


@pytest.mark.parametrize("name", ["gpt2", "mistral-7b-v0.1"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.full
def test_json(test_data: Path, name: str, case: str) -> None:
    it = published(name)
    table = it.table(Guide("json", CASES[case].schema))
    validator = jsonschema.Draft202012Validator(CASES[case].schema)
    for text in it.decoded(table, 100, seed=2):
        assert validator.is_valid(json.loads(text)), text


def test_a_person_in_json(test_data: Path, full: bool) -> None:
    it = published("gpt2")
    table = it.table(Guide("json", CASES["person"].schema))
    validator = jsonschema.Draft202012Validator(CASES["person"].schema)
    for text in it.decoded(table, 1000 if full else 50, seed=3):
        assert validator.is_valid(json.loads(text)), text


@pytest.mark.parametrize("name", ["gpt2", "mistral-7b-v0.1"])
def test_tokenized_values_get_through(test_data: Path, name: str) -> None:
    """As the library itself divides them, which is how a model most likely writes them."""
    it = published(name)
    for case in ("person", "sentiment", "strange names", "enum", "date-time"):
        table = it.table(Guide("json", CASES[case].schema))
        for value in CASES[case].accepted:
            text = json.dumps(value, ensure_ascii=False)
            ids = it.tokenizer.encode(text, add_special_tokens=False).ids
            assert it.tokenizer.decode(ids) == text
            state = 0
            for token in [*ids, it.eos]:
                state = int(table.next_state[state, table.token_class[token]])
                assert state >= 0, (text, token)


def test_random_states_allow_exactly_their_tokens(test_data: Path) -> None:
    """Every token of the vocabulary by its bytes alone, from states that random answers pass."""
    from exporter.guides import language

    it = published("gpt2")
    guide = Guide("json", CASES["person"].schema)
    table, machine = it.table(guide), language(guide)
    rng = random.Random(4)
    for row in drawn(table, it.eos, 8, seed=5):
        cut = rng.randint(0, len(row))
        state, before = 0, b"".join(it.texts[token] for token in row[:cut])
        for token in row[:cut]:
            state = int(table.next_state[state, table.token_class[token]])
        reached = _walk(machine, 0, before)
        expected = [bool(text) and _walk(machine, reached, text) >= 0 for text in it.texts]
        expected[it.eos] = bool(machine.accepting[reached])
        assert np.array_equal(table.allowed(state), expected)


def _walk(machine: object, state: int, text: bytes) -> int:
    for byte in text:
        state = int(machine.edges[state, byte]) if state >= 0 else -1  # type: ignore[attr-defined]
    return state
