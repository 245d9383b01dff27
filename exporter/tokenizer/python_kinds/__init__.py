"""Tokenizers that transformers has in Python only, compiled by hand.

The Python tokenizer is the reference, and the source of every table: vocabularies, special tokens and the
text of each token are asked of the object itself.
"""

from __future__ import annotations

from collections.abc import Callable

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer.from_transformers import PYTHON_ONLY
from exporter.tokenizer.python_kinds.base import PythonKind
from exporter.tokenizer.python_kinds.blenderbot_small import build_blenderbot_small
from exporter.tokenizer.python_kinds.byt5 import build_byt5
from exporter.tokenizer.python_kinds.translation import build_m2m100, build_marian
from exporter.tokenizer.sources import PythonSource

_KINDS: dict[str, Callable[..., PythonKind]] = {
    "BlenderbotSmallTokenizer": build_blenderbot_small,
    "ByT5Tokenizer": build_byt5,
    "M2M100Tokenizer": build_m2m100,
    "MarianTokenizer": build_marian,
}


def build_python_kind(
    source: PythonSource, *, special_tokens_in_text: bool, skip_special_tokens: bool, clean_up: bool
) -> PythonKind:
    """Compiles a tokenizer without tokenizer.json.

    Raises:
      TokenizerUnsupportedError: a class that is not compiled here, or an option of it.
    """
    name = type(source.tokenizer).__name__
    if name not in _KINDS:
        raise TokenizerUnsupportedError(name, PYTHON_ONLY)
    if not skip_special_tokens:
        raise TokenizerUnsupportedError(name, "decodes with skip_special_tokens=True only")
    return _KINDS[name](source, special_tokens_in_text=special_tokens_in_text, clean_up=clean_up)
