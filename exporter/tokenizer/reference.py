"""The oracles: reference tokenizers behind one small face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from exporter.tokenizer.sources import JsonSource, PythonSource


@dataclass(frozen=True)
class Reference:
    """What a graph must equal.

    Attributes:
      encode: text -> ids, with the special tokens of the post-processor.
      decode: ids -> text, special tokens left out.
      tokens: added tokens, worth strewing among test strings.
    """

    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]
    tokens: tuple[str, ...]


def reference_of(source: JsonSource | PythonSource, special_tokens_in_text: bool = True) -> Reference:
    """The reference of a tokenizer source."""
    special_tokens_in_text = special_tokens_in_text and not source.settings.split_special
    if isinstance(source, PythonSource):
        return _auto(source.tokenizer, special_tokens_in_text)
    tokenizer: Tokenizer = source.tokenizer
    tokenizer.encode_special_tokens = not special_tokens_in_text
    if source.auto is not None:
        return _auto(source.auto, special_tokens_in_text)
    added = tokenizer.get_added_tokens_decoder().values()

    def decode(ids: Sequence[int]) -> str:
        text: str = tokenizer.decode(list(ids), skip_special_tokens=True)
        return _clean_up(text) if source.settings.clean_up else text

    return Reference(lambda text: tokenizer.encode(text).ids, decode, tuple(token.content for token in added))


def attempt(reference: Reference, text: str) -> list[int] | None:
    """The reference's ids; None where its regular expressions give up, which ends in a panic of Rust."""
    try:
        return reference.encode(text)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return None


def _auto(tokenizer: Any, special_tokens_in_text: bool) -> Reference:
    """transformers' own object."""
    options = {"verbose": False, "split_special_tokens": not special_tokens_in_text}
    return Reference(
        lambda text: list(tokenizer(text, **options)["input_ids"]),
        lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True)),
        tuple(dict.fromkeys([*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens])),
    )


def _clean_up(text: str) -> str:
    """What transformers does to decoded text: a method of every tokenizer, which needs nothing of it."""
    from transformers import PreTrainedTokenizerBase

    return str(object.__new__(PreTrainedTokenizerBase).clean_up_tokenization(text))
