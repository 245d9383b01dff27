"""Decoders: ids back to text.

What a decoder does to a token alone is done at export, for the whole vocabulary; the tables hold the
results, by the token's place in its row where that matters. What depends on neighbours (byte tokens that
form characters, whole rows) is left to the graph.

Source: ``decoders`` of the ``tokenizers`` library, 0.23; ``decode`` of transformers' fast tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf
import tokenizers

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.bytestream import byte_level_bytes
from exporter.tokenizer.detokenizer import CLEAN_UP, PLACES, Chain, Decoder, Place, RowStep, quote, replacing


class Local(NamedTuple):
    """What a decoder makes of one token."""

    apply: Callable[[str, Place], str]
    by_place: bool = True  # whether the token's place matters


# The WordPiece decoder's own list has one entry more.
_WORDPIECE_CLEAN_UP = (*CLEAN_UP[:7], (" do not", " don't"), *CLEAN_UP[7:])


def token_strings(tokenizer: tokenizers.Tokenizer) -> list[str | None]:
    """id -> the token that the reference decodes it to, None for an id that it leaves out."""
    size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    return [tokenizer.id_to_token(i) for i in range(size)]


def special_strings(tokenizer: tokenizers.Tokenizer) -> set[str]:
    """The tokens that ``skip_special_tokens`` leaves out; the reference compares strings, not ids."""
    return {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}


def build_decoder(
    node: nodes.Decoder | None,
    tokens: Sequence[str | None],
    special: Collection[str] = (),
    *,
    skip_special_tokens: bool = True,
    clean_up_tokenization_spaces: bool = False,
    path: str = "decoder",
) -> Decoder:
    """The module that decodes.

    Args:
      node: the decoder; None joins tokens with spaces.
      tokens: id -> token, as ``token_strings`` gives them.
      special: tokens that ``skip_special_tokens`` leaves out.
      clean_up_tokenization_spaces: the clean-up is done. (transformers ignores the wish where the model
        is BPE, unless ``clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output`` is set:
        the caller decides.)
      path: the node's place in tokenizer.json, for errors.

    Raises:
      TokenizerUnsupportedError: CTC, or an order of decoders that has no exact translation.
    """
    local, chain = _compile(list(_flatten(node, path)))
    by_place = any(step.by_place for step in local)
    left_out = special if skip_special_tokens else ()
    to_bytes = _byte_level if chain.join == "bytes" else str.encode
    tables = [
        [
            None if token is None or token in left_out else to_bytes(_apply(local, token, place))
            for token in tokens
        ]
        for place in (PLACES if by_place else PLACES[:1])
    ]
    return Decoder(chain, *tables, clean_up=clean_up_tokenization_spaces)


def _flatten(node: nodes.Decoder | None, path: str) -> Iterator[tuple[nodes.Decoder | None, str]]:
    if isinstance(node, nodes.DecoderSequence):
        for i, decoder in enumerate(node.decoders):
            yield from _flatten(decoder, f"{path}.decoders[{i}]")
    else:
        yield node, path


def _compile(decoders: list[tuple[nodes.Decoder | None, str]]) -> tuple[list[Local], Chain]:
    """Divides a sequence of decoders into what is done by token, the joining, and what is done by row."""
    local: list[Local] = []
    rows: list[RowStep] = []
    join: str | None = None
    divided = ""
    fused = False
    for node, path in decoders:
        if node is None:
            join = " "
        elif fused:
            rows.append(_row_step(node, path))
            if isinstance(node, nodes.ReplaceDecoder) or (isinstance(node, nodes.StripDecoder) and node.stop):
                divided = f"{path}: {node.type} on joined text"
        elif isinstance(node, nodes.ByteLevelDecoder | nodes.Fuse):
            join = "bytes" if isinstance(node, nodes.ByteLevelDecoder) else join or ""
            fused = True
        elif join == "fallback":
            raise TokenizerUnsupportedError(path, f"{node.type} between ByteFallback and Fuse")
        elif isinstance(node, nodes.ByteFallback):
            join = "fallback"
        else:
            local.append(_local(node, path))
            if isinstance(node, nodes.BPEDecoder):
                divided = f"{path}: BPEDecoder treats the last token otherwise"
    return local, Chain(join or "", rows, divided)


def _apply(steps: Sequence[Local], token: str, place: Place) -> str:
    for step in steps:
        token = step.apply(token, place)
    return token


def _local(node: nodes.Decoder, path: str) -> Local:
    """What the decoder makes of one token."""
    if isinstance(node, nodes.ReplaceDecoder):
        regex = node.pattern.regex
        pattern = (node.pattern.string or "") if regex is None else tokenizers.Regex(regex)
        replace = tokenizers.decoders.Replace(pattern, node.content)
        return Local(lambda token, place: replace.decode([token]), by_place=False)
    if isinstance(node, nodes.StripDecoder):
        return Local(lambda token, place: _strip(token, node), by_place=False)
    if isinstance(node, nodes.Metaspace):
        drops_first = node.prepend_scheme != "never"
        return Local(
            lambda token, place: token.replace(node.replacement, "" if place.first and drops_first else " ")
        )
    if isinstance(node, nodes.WordPieceDecoder):
        return Local(lambda token, place: _wordpiece(token, place, node))
    if isinstance(node, nodes.BPEDecoder):
        return Local(lambda token, place: token.replace(node.suffix, "" if place.last else " "))
    raise TokenizerUnsupportedError(path, f"{node.type} cannot be reproduced exactly")


def _strip(token: str, node: nodes.StripDecoder) -> str:
    """Up to ``start`` and ``stop`` characters equal to ``content`` are cut off at the two ends."""
    start = len(token) - len(token.lstrip(node.content))
    stop = len(token) - len(token.rstrip(node.content))
    start, stop = min(start, node.start), min(stop, node.stop)
    return token[start : max(len(token) - stop, start)]


def _wordpiece(token: str, place: Place, node: nodes.WordPieceDecoder) -> str:
    if not place.first:
        token = token.removeprefix(node.prefix) if token.startswith(node.prefix) else f" {token}"
    if node.cleanup:
        for old, new in _WORDPIECE_CLEAN_UP:
            token = token.replace(old, new)
    return token


def _row_step(node: nodes.Decoder, path: str) -> RowStep:
    """What the decoder makes of a row that is already one string."""
    if isinstance(node, nodes.Fuse):
        return lambda text: text
    if isinstance(node, nodes.StripDecoder):
        return _stripping(node)
    if isinstance(node, nodes.ReplaceDecoder) and node.pattern.string:
        return replacing(node.pattern.string, node.content)
    raise TokenizerUnsupportedError(path, f"{node.type} on text that is already joined")


def _stripping(node: nodes.StripDecoder) -> RowStep:
    unit = f"(?:{quote(node.content)})"

    def strip(text: tf.Tensor) -> tf.Tensor:
        # One at a time: RE2 repeats a group at most a thousand times, and the counts are small.
        for pattern, count in ((f"^{unit}", node.start), (f"{unit}$", node.stop)):
            for _ in range(count):
                text = tf.strings.regex_replace(text, pattern, "", replace_global=False)
        return text

    return strip


def _byte_level(token: str) -> bytes:
    known = byte_level_bytes(token)
    return token.encode() if known is None else known
