"""BlenderbotSmall: lower-cased words, punctuation set apart, BPE whose pieces are marked with ``@@``.

Source: ``BlenderbotSmallTokenizer`` of transformers 5.
"""

from __future__ import annotations

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer.python_kinds.base import PythonKind
from exporter.tokenizer.sources import PythonSource


def build_blenderbot_small(
    source: PythonSource, *, special_tokens_in_text: bool, clean_up: bool
) -> PythonKind:
    raise TokenizerUnsupportedError("BlenderbotSmallTokenizer", "not compiled")
