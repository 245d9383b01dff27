"""Decoders against the ``tokenizers`` library: any ids, in any order, also such as no text gives."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.bytestream import byte_alphabet
from exporter.tokenizer.decoders import build_decoder, special_strings, token_strings
from exporter.tokenizer.tables import string_array
from exporter.tokenizer.utf8 import replace_ill_formed
from tests.tokenizer.graphs import ROWS, decode_rows, graph
from tests.tokenizer.published import folder_of

FALLBACK = [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
]
DECODERS: dict[str, Any] = {
    "none": None,
    "byte_level": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
    "metaspace": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
    "metaspace_never": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"},
    "wordpiece": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "wordpiece_dirty": {"type": "WordPiece", "prefix": "##", "cleanup": False},
    "bpe": {"type": "BPEDecoder", "suffix": "</w>"},
    "byte_fallback": {"type": "Sequence", "decoders": FALLBACK},
    "byte_fallback_last": {"type": "Sequence", "decoders": FALLBACK[:2]},
    "fuse": {"type": "Fuse"},
    "regex": {"type": "Replace", "pattern": {"Regex": "[▁ ]+"}, "content": "_"},
    "replace_row": {
        "type": "Sequence",
        "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "[.*"}, "content": r"\1"}],
    },
    "byte_level_then_strip": {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": "Ġ"},
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    },
}  # fmt: skip
PIECES = [
    "▁", "▁▁", "a", "▁a", "b</w>", "</w>", "##c", "##", "é", "ééé", ".", "?", "!", ",", "'", "n't", "'m",
    "'s", "'ve", "'re", "▁do▁not", "do not", "[.*", "[", ".*", " ", "\0", "日本", "\n", "<0xg1>", "<0xe9>",
    "<0x+F>", "\ufffd", "x y ",
]  # fmt: skip


def library(decoder: Any) -> tokenizers.Tokenizer:
    """A tokenizer whose vocabulary has odd tokens, all byte tokens, byte-level letters, and two holes."""
    tokens = [*PIECES, *(f"<0x{byte:02X}>" for byte in range(256)), *byte_alphabet()]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    vocab["after▁holes"] = len(vocab) + 2
    added = [
        {"id": vocab["▁"], "content": "▁", "special": False, "normalized": False},
        {"id": len(vocab) + 5, "content": "<s>", "special": True, "normalized": False},
        {"id": len(vocab) + 6, "content": "<Mask>", "special": False, "normalized": True},
    ]
    added = [{"single_word": False, "lstrip": False, "rstrip": False} | token for token in added]
    data = {
        "version": "1.0", "added_tokens": added, "normalizer": {"type": "Lowercase"}, "decoder": decoder,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "a"},
    }  # fmt: skip
    return tokenizers.Tokenizer.from_str(json.dumps(data))


def compiled(tokenizer: tokenizers.Tokenizer, **options: bool) -> Any:
    data = json.loads(tokenizer.to_str())
    node = nodes.parse_tokenizer(data).decoder
    return graph(build_decoder(node, token_strings(tokenizer), special_strings(tokenizer), **options), ROWS)


@pytest.mark.parametrize("name", DECODERS)
def test_equals_the_library(name: str, full: bool) -> None:
    tokenizer = library(DECODERS[name])
    size = len(token_strings(tokenizer))
    both = {skip: compiled(tokenizer, skip_special_tokens=skip) for skip in (True, False)}
    # Neighbouring byte tokens are drawn often, so that characters and broken characters arise.
    row = st.lists(
        st.one_of(st.integers(-2, size + 2), st.integers(len(PIECES), len(PIECES) + 255)), max_size=12
    )

    @settings(max_examples=400 if full else 30, deadline=None)
    @given(st.lists(row, max_size=5))
    def check(rows: list[list[int]]) -> None:
        for skip, function in both.items():
            texts = decode_rows(function, rows)
            known = [[i for i in row if 0 <= i < size] for row in rows]
            expected = [tokenizer.decode(row, skip_special_tokens=skip) if row else "" for row in known]
            assert [text.decode() for text in texts] == expected, rows

    check()
    check_rows = [[i] for i in range(size)] + [[i, 2] for i in range(size)] + [[2, i] for i in range(size)]
    texts = decode_rows(both[True], check_rows)
    assert [text.decode() for text in texts] == [tokenizer.decode(row) for row in check_rows]


@pytest.mark.parametrize("name", ["none", "wordpiece_dirty", "metaspace"])
def test_clean_up_as_transformers_does(name: str) -> None:
    tokenizer = library(DECODERS[name])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    function = compiled(tokenizer, clean_up_tokenization_spaces=True)
    rng = random.Random(name)
    rows = [rng.choices(range(len(PIECES)), k=8) for _ in range(300)]
    expected = [fast.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=True) for row in rows]
    assert [text.decode() for text in decode_rows(function, rows)] == expected


def test_strip_at_both_ends() -> None:
    """Between other characters: on text that is nothing but ``content`` the library itself fails."""
    strip = {"type": "Strip", "content": "é", "start": 2, "stop": 3}
    tokenizer = library({"type": "Sequence", "decoders": [{"type": "Fuse"}, strip]})
    one, three, other = (PIECES.index(piece) for piece in ("é", "ééé", "a"))
    ends = [[], [one], [one, one], [three], [one, three], [other, one], [one, other], [three, three]]
    rows = [[*left, other, other, *right] for left in ends for right in ends]
    texts = decode_rows(compiled(tokenizer), rows)
    assert [text.decode() for text in texts] == [tokenizer.decode(row) for row in rows]


def test_no_row_and_empty_rows() -> None:
    for name in ("byte_level", "byte_fallback", "none", "metaspace"):
        function = compiled(library(DECODERS[name]))
        assert decode_rows(function, [[], [], []]) == [b"", b"", b""]
        empty = tf.RaggedTensor.from_row_splits(tf.zeros([0], tf.int32), tf.zeros([1], tf.int64))
        assert function(empty).shape == (0,)


def test_ill_formed_utf8_is_replaced_as_python_does(full: bool) -> None:
    """Python's decoder divides ill-formed text by the same recommendation as Rust's."""
    units = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC,
             0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]  # fmt: skip
    rng = random.Random(0)
    rows = [bytes([a, b]) for a in units for b in units]
    rows += [bytes(rng.choices(units, k=rng.randint(0, 7))) for _ in range(200_000 if full else 20_000)]
    single = string_array([bytes([i]) for i in range(256)])
    ours = replace_ill_formed(tf.constant(rows, tf.string), single).numpy().tolist()
    for row, text in zip(rows, ours, strict=True):
        assert text.decode() == row.decode(errors="replace"), row.hex()


@pytest.mark.parametrize("name", ["none", "byte_level", "metaspace", "wordpiece", "byte_fallback", "fuse"])
@pytest.mark.parametrize("skip", [True, False])
def test_token_bytes_side_by_side_are_the_text(name: str, skip: bool) -> None:
    tokenizer = library(DECODERS[name])
    node = nodes.parse_tokenizer(json.loads(tokenizer.to_str())).decoder
    tokens = token_strings(tokenizer)
    decoder = build_decoder(node, tokens, special_strings(tokenizer), skip_special_tokens=skip)
    pieces = decoder.token_bytes(len(tokens) + 3)
    assert len(pieces) == len(tokens) + 3
    assert decoder.token_bytes(4) == pieces[:4]
    first = PIECES.index("a")
    before = tokenizer.decode([first], skip_special_tokens=skip)
    for i, piece in enumerate(pieces):
        text = tokenizer.decode([first, i], skip_special_tokens=skip)
        assert text == before + piece.decode(errors="replace"), i


@pytest.mark.parametrize("name", ["none", "byte_level", "metaspace", "wordpiece", "byte_fallback", "fuse"])
@pytest.mark.parametrize("skip", [True, False])
def test_first_token_bytes_begin_the_text(name: str, skip: bool) -> None:
    tokenizer = library(DECODERS[name])
    node = nodes.parse_tokenizer(json.loads(tokenizer.to_str())).decoder
    tokens = token_strings(tokenizer)
    decoder = build_decoder(node, tokens, special_strings(tokenizer), skip_special_tokens=skip)
    pieces = decoder.token_bytes(len(tokens), first=True)
    following = PIECES.index("a")
    kept = decoder.token_bytes(len(tokens))
    for i, piece in enumerate(pieces):
        for behind in (following, PIECES.index("▁a")) if kept[i] else ():
            text = tokenizer.decode([i, behind], skip_special_tokens=skip)
            assert text == piece.decode(errors="replace") + kept[behind].decode(), i


@pytest.mark.parametrize("name", ["bpe", "replace_row"])
def test_token_bytes_refused(name: str) -> None:
    tokenizer = library(DECODERS[name])
    node = nodes.parse_tokenizer(json.loads(tokenizer.to_str())).decoder
    with pytest.raises(TokenizerUnsupportedError, match="side by side"):
        build_decoder(node, token_strings(tokenizer)).token_bytes(3)


@pytest.mark.parametrize(
    ("decoder", "path"),
    [
        ({"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True}, "decoder"),
        ({"type": "Sequence", "decoders": [FALLBACK[1], FALLBACK[3]]}, "decoder.decoders[1]"),
        ({"type": "Sequence", "decoders": [FALLBACK[2], FALLBACK[1]]}, "decoder.decoders[1]"),
        ({"type": "Sequence", "decoders": [{"type": "Sequence", "decoders": [FALLBACK[2], DECODERS["bpe"]]}]},
         "decoder.decoders[0].decoders[1]"),
    ],
)  # fmt: skip
def test_refused(decoder: Any, path: str) -> None:
    with pytest.raises(TokenizerUnsupportedError) as caught:
        compiled(library(decoder))
    assert caught.value.path == path


@pytest.mark.parity
@pytest.mark.parametrize(
    "name", ["gpt2", "mistral-7b-v0.1", "t5", "bert-base-uncased", "clip", "whisper-tiny"]
)
def test_real_tokenizers(name: str, test_data: Path, full: bool) -> None:
    tokenizer = tokenizers.Tokenizer.from_file(str(folder_of(name) / "tokenizer.json"))
    function = compiled(tokenizer)
    rng = random.Random(name)
    size = len(token_strings(tokenizer))
    rows = [rng.choices(range(size), k=rng.randint(1, 40)) for _ in range(2000 if full else 200)]
    lines = (test_data / "corpora" / "udhr_all.txt").read_text(encoding="utf-8").splitlines()
    rows += [tokenizer.encode(line).ids for line in lines[:: 1 if full else 40]]
    expected = [tokenizer.decode(row) for row in rows]
    assert [text.decode() for text in decode_rows(function, rows)] == expected
