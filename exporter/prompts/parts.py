"""Prompts of parts, in the graph: a template's literals and the texts of a request's fields.

A field's text is stripped as the template does it; what must not be empty is that row's error.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from exporter.chat import Field, Prompt, Strip
from exporter.prompts.chat import both
from exporter.tokenizer import chars


def prompt_parts(prompt: Prompt, texts: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """string [batch] by field -> string [batch, parts]: literal, text, literal, ..., literal."""
    batch = tf.shape(next(iter(texts.values())))
    columns = [
        tf.fill(batch, piece.encode()) if isinstance(piece, str) else stripped(piece, texts[piece.name])
        for piece in both(prompt)
    ]
    return tf.stack(columns, 1)


def missing(prompt: Prompt, texts: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """bool [batch] by field: whether a text that the template needs is empty."""
    return {field.name: tf.equal(stripped(field, texts[field.name]), "") for field in prompt.needed}


def stripped(field: Field, text: tf.Tensor) -> tf.Tensor:
    """string [batch] -> string [batch], as ``Field.of`` does it."""
    for strip in field.strips:
        text = _strip(strip, text)
    return text


def _strip(strip: Strip, text: tf.Tensor) -> tf.Tensor:
    if strip.chars == "":
        return text
    members = chars.white_space() if strip.chars is None else chars.charset(map(ord, strip.chars))
    left, right = chars.at_ends(members)
    for pattern in {"left": (left,), "right": (right,), "both": (left, right)}[strip.side]:
        text = tf.strings.regex_replace(text, pattern, "", replace_global=False)
    return text


def behind(before: bytes, parts: tf.Tensor) -> tf.Tensor:
    """string [batch, parts]: ``before`` in front of every row's first part."""
    first = tf.strings.join([tf.constant(before), parts[:, :1]])
    return tf.concat([first, parts[:, 1:]], 1)


def chosen(condition: tf.Tensor, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """string [batch, parts]: rows of ``one`` where bool [batch] ``condition``; the shorter ends empty."""
    width = max(one.shape[1], other.shape[1])

    def widened(parts: tf.Tensor) -> tf.Tensor:
        return tf.concat([parts, tf.fill([tf.shape(parts)[0], width - parts.shape[1]], "")], 1)

    return tf.where(condition[:, tf.newaxis], widened(one), widened(other))
