"""Post-processors of single sequences: the special tokens around a text's ids.

Source: ``processors`` of the ``tokenizers`` library, 0.23.
"""

from __future__ import annotations

import tensorflow as tf

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.tables import array, on_cpu


class PostProcessor(tf.Module):  # type: ignore[misc]
    """Repeats a row's ids as often as the template says, with fixed ids before, between and after.

    ``gaps[i]`` stands before the i-th repetition and ``gaps[-1]`` at the end: one repetition, and so two
    gaps, in all but strange templates.
    """

    def __init__(self, gaps: list[list[int]]) -> None:
        super().__init__(name="post_processor")
        self.gaps = gaps
        self._ids = [array(gap) for gap in gaps]

    @on_cpu
    def __call__(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """RaggedTensor int32 [rows, (ids)] -> the same, longer."""
        if self.gaps == [[], []]:
            return ids
        parts = [ids[:, :0]]
        for i, (gap, values) in enumerate(zip(self.gaps, self._ids, strict=True)):
            if i:
                parts.append(ids)
            if gap:
                rows = tf.broadcast_to(values.read_value(), tf.stack([ids.nrows(tf.int32), len(gap)]))
                parts.append(tf.RaggedTensor.from_tensor(rows, row_splits_dtype=ids.row_splits.dtype))
        return tf.concat(parts, 1)


def build_post_processor(node: nodes.PostProcessor | None, path: str = "post_processor") -> PostProcessor:
    """The module that adds the special tokens of a single sequence.

    Raises:
      TokenizerUnsupportedError: a template names a special token that it does not define, or sequence B
        in the template of single sequences.
    """
    pieces = _flatten(node, path)
    gaps: list[list[int]] = [[]]
    for piece in pieces:
        if piece is None:
            gaps.append([])
        else:
            gaps[-1] += piece
    return PostProcessor(gaps)


def _flatten(node: nodes.PostProcessor | None, path: str) -> list[list[int] | None]:
    """What follows each other: fixed ids, or None for the sequence."""
    if isinstance(node, nodes.BertProcessing | nodes.RobertaProcessing):
        return [[node.cls[1]], None, [node.sep[1]]]
    if isinstance(node, nodes.TemplateProcessing):
        return [_piece(node, piece, f"{path}.single[{i}]") for i, piece in enumerate(node.single)]
    if isinstance(node, nodes.PostProcessorSequence):
        return _flatten_sequence(node, path)
    return [None]


def _flatten_sequence(node: nodes.PostProcessorSequence, path: str) -> list[list[int] | None]:
    pieces: list[list[int] | None] = [None]
    templated = False
    for i, processor in enumerate(node.processors):
        place = f"{path}.processors[{i}]"
        outer = _flatten(processor, place)
        if outer == [None]:
            continue
        if templated:
            # The reference hands it the template's parts one by one, or fails.
            raise TokenizerUnsupportedError(place, "adds tokens after a TemplateProcessing")
        templated = not isinstance(processor, nodes.BertProcessing | nodes.RobertaProcessing)
        pieces = [part for piece in outer for part in (pieces if piece is None else [piece])]
    return pieces


def _piece(node: nodes.TemplateProcessing, piece: nodes.TemplatePiece, path: str) -> list[int] | None:
    if piece.sequence is not None:
        if piece.sequence.id != "A":
            raise TokenizerUnsupportedError(
                path, f"sequence {piece.sequence.id!r} in the template of single texts"
            )
        return None
    if piece.special_token is None or piece.special_token.id not in node.special_tokens:
        raise TokenizerUnsupportedError(path, "names no special token that the template defines")
    return list(node.special_tokens[piece.special_token.id].ids)
