"""What each tokenizer class of KerasHub is, as data: its special tokens, and how the reference splits texts.

KerasHub splits the texts of every byte-level BPE by one regular expression in Python (Llama 3's) and by
another in its graph (an approximation of GPT-2's, wrong on combining digits such as Devanagari's). The model
was trained with its own: that is what stands here, as in the published tokenizer.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tokenizers import Regex, pre_tokenizers

#: From a tokenizer's configuration to the reference's pre-tokenizer.
Splits = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class TokenizerKind:
    """A class of tokenizers.

    Attributes:
      splits: how a byte-level BPE splits texts; None of a SentencePiece model.
      start: the token that KerasHub packs before every prompt, and before the text of an encoder.
      ends: tokens that end generation; those that a vocabulary lacks are left out, but for the first.
      pad: the padding token; KerasHub pads with 0 where there is none.
      packed_end: whether an end token is packed behind the text of an encoder.
      specials: further special tokens, where a vocabulary has them.
      composed: whether the reference brings texts into Unicode's form NFC first.
      marks: whether tokens that no merge makes are marks that the reference finds in texts.
    """

    splits: Splits | None
    start: str | None
    ends: tuple[str, ...]
    pad: str | None = None
    packed_end: bool = False
    specials: tuple[str, ...] = ()
    composed: bool = False
    marks: bool = False


def _split(pattern: str, config: Mapping[str, Any]) -> Any:
    """By a regular expression first, then into bytes."""
    prefix = bool(config.get("add_prefix_space"))
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)]
    )


def _by(pattern: str) -> Splits:
    return lambda config: _split(pattern, config)


def _gpt2(config: Mapping[str, Any]) -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=bool(config.get("add_prefix_space")), use_regex=True)


def _tiktoken(digits: str) -> Splits:
    """The expression of cl100k and its kin, with so many digits to a number."""
    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    return _by(words + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


_BLOOM = _by(r" ?[^(\s|[.,!?…。，、।۔،])]+")
_TEXT = "<|endoftext|>"
_GPT2 = TokenizerKind(_gpt2, _TEXT, (_TEXT,))
_LLAMA = TokenizerKind(None, "<s>", ("</s>",))
_GEMMA = TokenizerKind(None, "<bos>", ("<eos>",), "<pad>")
_QWEN = TokenizerKind(
    _tiktoken(r"\p{N}"),
    None,
    (_TEXT,),
    specials=("<|im_start|>", "<|im_end|>"),
    composed=True,
    marks=True,
)
_QWEN3 = replace(_QWEN, ends=("<|im_end|>",), pad=_TEXT)

TOKENIZERS = {
    "BartTokenizer": TokenizerKind(
        _gpt2, "<s>", ("</s>",), "<pad>", packed_end=True, specials=("<unk>", "<mask>")
    ),
    "BloomTokenizer": TokenizerKind(_BLOOM, "<s>", ("</s>",), "<pad>", specials=("<unk>",)),
    "FalconTokenizer": _GPT2,
    "GPT2Tokenizer": _GPT2,
    "GPTNeoXTokenizer": replace(_GPT2, composed=True, marks=True),
    # KerasHub ends Gemma 3's answers at the end of a turn too.
    "Gemma3Tokenizer": replace(_GEMMA, ends=("<eos>", "<end_of_turn>")),
    "GemmaTokenizer": _GEMMA,
    "Llama3Tokenizer": TokenizerKind(
        _tiktoken(r"\p{N}{1,3}"),
        "<|begin_of_text|>",
        ("<|end_of_text|>", "<|eot_id|>"),
        specials=("<|start_header_id|>", "<|end_header_id|>"),
        marks=True,
    ),
    "LlamaTokenizer": _LLAMA,
    "MistralTekkenTokenizer": TokenizerKind(
        lambda config: _split(config["split_pattern"], config), "<s>", ("</s>",)
    ),
    "MistralTokenizer": _LLAMA,
    "MixtralTokenizer": _LLAMA,
    "OPTTokenizer": TokenizerKind(_gpt2, "</s>", ("</s>",), "<pad>", specials=("<s>", "<unk>")),
    "Phi3Tokenizer": TokenizerKind(None, "<s>", (_TEXT, "<|end|>")),
    "Qwen3Tokenizer": _QWEN3,
    "Qwen3MoeTokenizer": _QWEN3,
    "QwenMoeTokenizer": _QWEN,
    "QwenTokenizer": _QWEN,
    "T5Tokenizer": TokenizerKind(None, None, ("</s>",), "<pad>", packed_end=True),
}
