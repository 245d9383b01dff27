"""Tokenizers of KerasHub: equal to KerasHub where it is right, and to the reference on every text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer

from exporter.checkpoint.keras_hub.preset import ASSETS
from exporter.checkpoint.keras_hub.tokenizer_files import write_tokenizer
from exporter.tokenizer import build_tokenizer, verify_tokenizer
from tests.checkpoint.keras_hub.vocabulary import byte_level, sentence_piece

keras_hub = pytest.importorskip("keras_hub", reason="the extra keras-hub is not installed")

PLAIN = ("hello world", " the cat sat on the mat", "It's o'clock", "Ünïcödé 日本語", "a  b", "x\n\ny")
#: Where the reference's expressions matter: numbers, digits of other scripts, marks, white space.
ODD = (
    "12345678",
    "the mat.",
    "६ the",
    "१२३ ४५६७८९",
    "नमस्ते दुनिया १२",
    "x\u00a0y\u3000z",
    "e\u0301 é",
    "a\n \n b",
    "don'T",
)
TEXT, IM = "<|endoftext|>", "<|im_end|>"
LLAMA3 = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
BYTE_LEVEL = {
    "GPT2Tokenizer": (TEXT,),
    "FalconTokenizer": (TEXT,),
    "GPTNeoXTokenizer": (TEXT,),
    "OPTTokenizer": ("</s>", "<pad>", "<s>", "<unk>"),
    "BartTokenizer": ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
    "BloomTokenizer": ("<unk>", "<s>", "</s>", "<pad>"),
    "Llama3Tokenizer": LLAMA3,
    "MistralTekkenTokenizer": ("<s>", "</s>"),
    "QwenTokenizer": (TEXT, "<|im_start|>", IM),
    "Qwen3Tokenizer": (TEXT, "<|im_start|>", IM, "<think>"),
}
SETTINGS = {"MistralTekkenTokenizer": {"split_pattern": r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"}}
#: What the reference makes of the same vocabulary.
REFERENCE = {
    "GPT2Tokenizer": ("GPT2Tokenizer", {}),
    "FalconTokenizer": ("GPT2Tokenizer", {}),
    "GPTNeoXTokenizer": ("GPTNeoXTokenizer", {}),
    "OPTTokenizer": ("GPT2Tokenizer", {"unk_token": "</s>", "bos_token": "</s>", "eos_token": "</s>"}),
    "QwenTokenizer": ("Qwen2Tokenizer", {}),
    "Qwen3Tokenizer": ("Qwen2Tokenizer", {}),
}
_LLAMA: dict[str, Any] = {"byte_fallback": True, "normalization_rule_name": "identity"}
_LLAMA["remove_extra_whitespaces"] = False
SENTENCE_PIECE: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "LlamaTokenizer": ("bpe", ("<unk>", "<s>", "</s>"), _LLAMA),
    "GemmaTokenizer": ("bpe", ("<pad>", "<eos>", "<bos>", "<unk>"), {**_LLAMA, "add_dummy_prefix": False}),
    "T5Tokenizer": ("unigram", ("<pad>", "</s>", "<unk>"), {}),
}


def _written(tokenizer: Any, folder: Path) -> Path:
    """The reference's files of a tokenizer that KerasHub saved."""
    tokenizer.save_to_preset(str(folder / "preset"))
    target = folder / "reference"
    target.mkdir()
    write_tokenizer(type(tokenizer).__name__, tokenizer.get_config(), folder / "preset" / ASSETS, target)
    return target


def _ids(target: Path, text: str) -> list[int]:
    encoding = Tokenizer.from_file(str(target / "tokenizer.json")).encode(text, add_special_tokens=False)
    return list(encoding.ids)


@pytest.fixture(scope="module", params=BYTE_LEVEL)
def byte_level_kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer of KerasHub, and the folder of its reference's files."""
    vocabulary, merges = byte_level(BYTE_LEVEL[request.param])
    tokenizer = getattr(keras_hub.models, request.param)(
        vocabulary=vocabulary, merges=merges, **SETTINGS.get(request.param, {})
    )
    return tokenizer, _written(tokenizer, tmp_path_factory.mktemp(request.param))


def test_byte_level_is_keras_hubs_where_that_is_right(byte_level_kind: Any) -> None:
    tokenizer, target = byte_level_kind
    for text in PLAIN:
        assert _ids(target, text) == [int(index) for index in tokenizer(text)], text


def test_byte_level_is_the_reference_everywhere(byte_level_kind: Any) -> None:
    tokenizer, target = byte_level_kind
    found = REFERENCE.get(type(tokenizer).__name__)
    if found is None:
        pytest.skip("transformers builds no such tokenizer from a vocabulary")
    name, settings = found
    merges = [tuple(merge.split(" ")) for merge in tokenizer.merges]
    reference = getattr(transformers, name)(vocab=dict(tokenizer.vocabulary), merges=merges, **settings)
    for text in (*PLAIN, *ODD):
        expected = reference.encode(text, add_special_tokens=False)
        assert _ids(target, text) == expected, text


@pytest.mark.full
def test_byte_level_compiles(byte_level_kind: Any) -> None:
    _, target = byte_level_kind
    verify_tokenizer(target, (*PLAIN, *ODD), count=20).check()


def test_keras_hub_is_not_followed_where_it_is_wrong(tmp_path: Path) -> None:
    """Its Python tokenizer splits no words, and its graph takes a Devanagari digit for a mark of its own."""
    vocabulary, merges = byte_level([TEXT])
    tokenizer = keras_hub.models.GPT2Tokenizer(vocabulary=vocabulary, merges=merges)
    target = _written(tokenizer, tmp_path)
    assert [int(index) for index in tokenizer("the mat.")] != _ids(target, "the mat.")
    assert tokenizer._tokenize_tf("६ the").numpy().tolist() != _ids(target, "६ the")


@pytest.fixture(scope="module", params=SENTENCE_PIECE)
def sentence_piece_kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer of KerasHub, and the folder of its reference's files."""
    kind, specials, options = SENTENCE_PIECE[request.param]
    tokenizer = getattr(keras_hub.models, request.param)(proto=sentence_piece(kind, specials, **options))
    return tokenizer, _written(tokenizer, tmp_path_factory.mktemp(request.param))


def test_sentence_piece_is_keras_hubs(sentence_piece_kind: Any) -> None:
    tokenizer, target = sentence_piece_kind
    for text in (*PLAIN, *ODD, "", "  two  spaces ", "ﬁne ½"):
        assert _ids(target, text) == [int(index) for index in tokenizer(text)], text


@pytest.mark.full
def test_sentence_piece_compiles(sentence_piece_kind: Any) -> None:
    _, target = sentence_piece_kind
    verify_tokenizer(target, (*PLAIN, *ODD), count=20).check()


def test_prompts_are_packed_as_keras_hub_packs_them(tmp_path: Path) -> None:
    vocabulary, merges = byte_level(LLAMA3)
    tokenizer = keras_hub.models.Llama3Tokenizer(vocabulary=vocabulary, merges=merges)
    packed = keras_hub.models.Llama3CausalLMPreprocessor(tokenizer, sequence_length=16)
    found = packed.generate_preprocess("hello world")
    expected = [int(i) for i, used in zip(found["token_ids"], found["padding_mask"], strict=True) if used]
    ours = build_tokenizer(_written(tokenizer, tmp_path)).encode(["hello world"])
    assert ours.to_list() == [expected]
