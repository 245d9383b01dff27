"""Which added tokens count in a template's own parts of a prompt alone, and whether that can be had exactly.

Imports no TensorFlow: a plan asks, before anything is compiled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from exporter.errors import TokenizerUnsupportedError

_PLACE = "added_tokens"


def guarded_ids(
    added: Mapping[int, Any], contents: Collection[str] = (), *, normalizes: bool
) -> frozenset[int]:
    """Ids of the special tokens, and of those that ``contents`` names.

    Args:
      added: id -> the library's AddedToken.
      contents: of further ones.
      normalizes: whether the tokenizer has a normalizer.

    Raises:
      TokenizerUnsupportedError: such a token is looked for in normalized text, or another token overlaps it.
    """
    ids = frozenset(i for i, token in added.items() if token.special or token.content in contents)
    normalized = sorted(added[i].content for i in ids if added[i].normalized)
    if normalizes and normalized:
        reason = f"{normalized[0]!r} is looked for in normalized text, which joins a prompt's parts"
        raise TokenizerUnsupportedError(_PLACE, reason)
    _refuse_overlaps({i: token.content for i, token in added.items()}, ids)
    return ids


def named_in(added: Mapping[int, Any], source: str) -> tuple[str, ...]:
    """The tokens that a template's source holds, but special ones and white space: words of everybody's."""
    found = {token.content for token in added.values() if token.content in source and not token.special}
    return tuple(sorted(content for content in found if content.strip()))


def _refuse_overlaps(contents: Mapping[int, str], ids: frozenset[int]) -> None:
    """A token of any text that reaches from a person's words into a guarded one would have to win."""
    guarded = [content for token_id, content in contents.items() if token_id in ids]
    ends = {content[start:] for content in guarded for start in range(1, len(content))}
    begins = {content[:end] for content in guarded for end in range(1, len(content))}
    for token_id, text in contents.items():
        if token_id not in ids and any(
            text[at:] in begins or text[:at] in ends for at in range(1, len(text))
        ):
            raise TokenizerUnsupportedError(
                _PLACE, f"{text!r} overlaps a token that counts in a template's parts alone"
            )
