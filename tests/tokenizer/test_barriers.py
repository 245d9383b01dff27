"""Barriers: where a text may be cut so that no continuation changes a token, proven and tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf
from tokenizers import Tokenizer

from exporter.errors import UnsupportedError
from exporter.prompts.prefix import cut_prefix
from exporter.prompts.prefix_tokenizer import PrefixTokenizer
from exporter.tokenizer import build_tokenizer
from exporter.tokenizer.barriers import Barriers
from exporter.tokenizer.parity import compare
from exporter.tokenizer.reference import reference_of
from exporter.tokenizer.samples import sample_strings
from exporter.tokenizer.sources import JsonSource, read_source
from tests.reference import byte_level_bpe
from tests.tokenizer.published import folder_of

INSTRUCTION = (
    "You are a kind and patient assistant who answers in one word. Keep it short: no lists, 3 items at most."
    "\n\nQuestion:"
)
CHAT = "<|im_start|>system\nYou are Bob.<|im_end|>\n<|im_start|>user\n"

#: Tokenizer, prefix -> baked tokens (those of the template in front included), anchor, rest.
CUTS = [
    ("gpt2", INSTRUCTION, 28, "n", ":"),
    ("gpt2", "Hello there world ", 2, "e", " world "),
    ("gpt2", "你是一个助手，请用中文回答。", 24, "答", "。"),
    # NFC may join a mark with what stands before it.
    ("qwen2", INSTRUCTION, 25, "t", ".\n\nQuestion:"),
    # An added token ends every word before it, and what follows it is another one's.
    ("qwen2", CHAT, 10, "<|im_start|>", "user\n"),
    ("qwen2", CHAT.removesuffix("user\n"), 10, "<|im_start|>", ""),
    ("gpt-oss", CHAT, 21, "t", "|>user\n"),
    # No pre-tokenizer: no token of the vocabulary holds "t.".
    ("mistral-7b-v0.1", INSTRUCTION, 26, "t", ".\n\nQuestion:"),
    ("phi-3-mini", "Hello there world ", 2, "e", " world "),
    ("mistral-nemo", INSTRUCTION, 28, "n", ":"),
    ("bert-base-uncased", INSTRUCTION, 26, ".", "\n\nQuestion:"),
    ("t5", INSTRUCTION, 26, ".", "\n\nQuestion:"),
]


def barriers_of(tokenizer: Tokenizer, folder: Path) -> Barriers:
    tokenizer.save(str(folder / "tokenizer.json"))
    source = read_source(folder)
    assert isinstance(source, JsonSource)
    return Barriers(source)


def test_the_worked_example(tmp_path: Path) -> None:
    barriers = barriers_of(byte_level_bpe(), tmp_path)
    assert barriers.why_not("You are", " kind") == ""
    assert "may read across it" in barriers.why_not("You are ki", "nd")
    assert "only white space behind it" in barriers.why_not("You are", " ")
    assert barriers.why_not("it", "'s") == ""  # 's is a word of its own
    assert "white space or a mark" in barriers.why_not("You ", " are")


def test_added_tokens_hold_what_stands_around_them(tmp_path: Path) -> None:
    """A token that may begin on one side and end in a request, or take white space, is no barrier."""
    tokenizer = byte_level_bpe()
    tokenizer.add_special_tokens(["are kind<end>"])
    assert "added token 'are kind<end>'" in barriers_of(tokenizer, tmp_path).why_not("You are", " kind")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["added_tokens"][-1] |= {"content": "kind", "lstrip": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    source = read_source(tmp_path)
    assert isinstance(source, JsonSource)
    assert "added token 'kind'" in Barriers(source).why_not("You are", " kind")
    assert Barriers(source).why_not("Are you", " a kind") == ""


def test_stages_that_count_from_the_beginning_have_none(tmp_path: Path) -> None:
    tokenizer = byte_level_bpe()
    content = json.loads(tokenizer.to_str())
    content["pre_tokenizer"] = {"type": "FixedLength", "length": 5}
    Tokenizer.from_str(json.dumps(content)).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UnsupportedError, match="FixedLength counts from the beginning of a text"):
        cut_prefix(tmp_path, "You are kind, are you?")


def test_rules_about_runs_look_no_further_than_the_run(tmp_path: Path) -> None:
    """A text that ends in white space or digits may go on; behind a run's end nothing changes it."""
    content = json.loads(byte_level_bpe().to_str())
    patterns = (r"\s+$", r"\d{1,3}(?=(?:\d{3})*\b)", r"(?=(\d{3})+(?!\d))")
    splits = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in patterns
    ]
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*splits, content["pre_tokenizer"]]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    source = read_source(tmp_path)
    assert isinstance(source, JsonSource)
    assert "may read across it" in Barriers(source).why_not("one 12", "34")
    assert Barriers(source).why_not("one 12", " two") == ""
    prefix = cut_prefix(tmp_path, "You are kind: 1234567 and so on  12")  # tries continuations itself
    assert prefix.rest.endswith("12")


@pytest.mark.parametrize("text", ["Hello", "inter", "\n\n", "…"])
def test_a_text_without_a_stable_token_is_refused(text: str, tmp_path: Path) -> None:
    byte_level_bpe().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UnsupportedError, match="prefix_text: no token of it is certain to stay the same"):
        cut_prefix(tmp_path, text)


@pytest.mark.parametrize(("name", "text", "tokens", "anchor", "rest"), CUTS)
def test_cuts_of_real_tokenizers(
    test_data: Path, name: str, text: str, tokens: int, anchor: str, rest: str, full: bool
) -> None:
    """The cut, and the reference's tokens of whole texts with thousands of continuations."""
    if not full and name not in {"gpt2", "mistral-7b-v0.1"}:
        pytest.skip("all tokenizers: in the full tier")
    directory = folder_of(name)
    prefix = cut_prefix(directory, text)  # tries 1500 generated and all hostile ones itself
    assert (len(prefix.tokens), prefix.anchor, prefix.rest) == (tokens, anchor, rest)
    encode = reference_of(read_source(directory)).encode
    # Hostile to a cut: the prefix goes on with any text that its own end could be the beginning of.
    endings = sample_strings(20_000 if full else 3000, seed=1)
    for more in endings:
        joined = [*prefix.tokens, *encode(prefix.anchor + prefix.rest + more)[prefix.skip :]]
        assert encode(text + more) == joined, more


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "mistral-7b-v0.1"])
def test_the_graph_equals_the_reference_on_whole_texts(test_data: Path, name: str, full: bool) -> None:
    if not full and name == "qwen2":
        pytest.skip("in the full tier")
    directory = folder_of(name)
    prefix, reference = cut_prefix(directory, INSTRUCTION), reference_of(read_source(directory))

    def behind(text: str) -> list[int]:
        return reference.encode(INSTRUCTION + text)[len(prefix.tokens) :]

    graph = PrefixTokenizer(build_tokenizer(directory), prefix)
    texts = [
        "",
        " ",
        "s",
        "\u0301",
        *sample_strings(20_000 if full else 1500, seed=2, tokens=reference.tokens),
    ]
    compare(graph, type(reference)(behind, reference.decode, reference.tokens), texts).check()


def test_texts_that_are_no_prompts_have_no_prefix(tmp_path: Path) -> None:
    """The continuation of a score request is tokenized by itself."""
    byte_level_bpe().save(str(tmp_path / "tokenizer.json"))
    inner = build_tokenizer(tmp_path)
    graph = PrefixTokenizer(inner, cut_prefix(tmp_path, "You are kind. Yes or no?"))
    text = tf.constant([" fox", ""])
    assert graph.encode(text, False).to_list() == inner.encode(text, False).to_list()
    assert graph.encode(text).to_list() != inner.encode(text).to_list()
