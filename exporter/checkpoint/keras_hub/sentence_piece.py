"""A SentencePiece model as a tokenizer of the ``tokenizers`` library that gives the same pieces.

Source: sentencepiece_model.proto. A BPE model has no list of merges: a pair of pieces merges where the joint
piece exists, best score first, so that every way to split a piece in two is a merge of its rank.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from exporter.errors import CheckpointError, UnsupportedError
from exporter.impostors import what_it_is

_SPACE = "▁"
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6
_UNIGRAM, _BPE = 1, 2


def sentence_piece_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a serialised model.

    Control symbols (``<s>``) written in a text are special tokens, as in the reference; SentencePiece itself
    reads them as text.

    Raises:
      CheckpointError: no SentencePiece model.
      UnsupportedError: a model of words or characters.
    """
    proto = _parsed(path)
    kind = proto.trainer_spec.model_type
    if kind not in (_UNIGRAM, _BPE):
        raise UnsupportedError(f"{path}: model_type {kind} of SentencePiece; allowed are unigram and bpe")
    tokenizer = Tokenizer(_unigram(proto) if kind == _UNIGRAM else _bpe(proto))
    marks = [piece.piece for piece in proto.pieces if piece.type == _USER_DEFINED]
    spec = proto.normalizer_spec
    tokenizer.normalizer = _normalizer(spec, prefix=spec.add_dummy_prefix and not marks)
    if spec.add_dummy_prefix and marks:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE, prepend_scheme="first", split=False)
    tokenizer.decoder = _decoder(spec.add_dummy_prefix)
    for piece in proto.pieces:
        if piece.type in (_UNKNOWN, _CONTROL):
            tokenizer.add_special_tokens([AddedToken(piece.piece, normalized=False, special=True)])
    tokenizer.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in marks])
    return tokenizer


def _parsed(path: Path) -> Any:
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except Exception as error:
        raise CheckpointError(
            f"{path} is {what_it_is(path) or f'no SentencePiece model: {error}'}"
        ) from error
    if not proto.pieces:
        raise CheckpointError(f"{path} is {what_it_is(path) or 'a SentencePiece model without pieces'}")
    return proto


def _unigram(proto: Any) -> Any:
    unknown = next(index for index, piece in enumerate(proto.pieces) if piece.type == _UNKNOWN)
    scores = [(piece.piece, piece.score) for piece in proto.pieces]
    return models.Unigram(scores, unk_id=unknown, byte_fallback=proto.trainer_spec.byte_fallback)


def _bpe(proto: Any) -> Any:
    ids = {piece.piece: index for index, piece in enumerate(proto.pieces)}
    unknown = next(piece.piece for piece in proto.pieces if piece.type == _UNKNOWN)
    return models.BPE(
        vocab=ids,
        merges=_merges(proto),
        unk_token=unknown,
        fuse_unk=True,
        byte_fallback=proto.trainer_spec.byte_fallback,
    )


def _merges(proto: Any) -> list[tuple[str, str]]:
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == _NORMAL}
    found = [
        (-score, piece[:at], piece[at:])
        for piece, score in scores.items()
        for at in range(1, len(piece))
        if piece[:at] in scores and piece[at:] in scores
    ]
    return [(left, right) for _, left, right in sorted(found, key=lambda merge: merge[0])]


def _normalizer(spec: Any, *, prefix: bool) -> Any:
    """Without a rule that makes spaces of all white space, SentencePiece strips spaces alone."""
    parts: list[Any] = []
    if spec.precompiled_charsmap:
        parts.append(normalizers.Precompiled(spec.precompiled_charsmap))
    elif spec.remove_extra_whitespaces:
        raise UnsupportedError(
            "remove_extra_whitespaces=True without a normalisation rule, in a SentencePiece model, is not "
            "supported"
        )
    if spec.remove_extra_whitespaces:
        parts += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if prefix:
        parts.append(normalizers.Prepend(_SPACE))
    parts.append(normalizers.Replace(" ", _SPACE))
    return normalizers.Sequence(parts)


def _decoder(prefix: bool) -> Any:
    parts = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if prefix else parts)
