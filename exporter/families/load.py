"""Reads a model's weights from a checkpoint; every tensor is accounted for before any is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.checkpoint import Checkpoint, StoredTensor
from exporter.errors import CheckpointError, did_you_mean, raise_all
from exporter.families.names import Names
from exporter.families.ties import find_tables
from exporter.families.weights import Part, Weight, plan
from exporter.spec import ModelSpec


def load(
    spec: ModelSpec, names: Names, checkpoint: Checkpoint, dtype: npt.DTypeLike
) -> dict[str, npt.NDArray[Any]]:
    """Our weights by our names, in ``dtype``.

    Raises:
      CheckpointError: lists every missing and unused tensor and every wrong shape.
    """
    tensors = checkpoint.tensors
    weights = check(spec, names, checkpoint)
    return {weight.target: _read(weight, tensors, np.dtype(dtype)) for weight in weights}


def check(spec: ModelSpec, names: Names, checkpoint: Checkpoint) -> list[Weight]:
    """Where every weight is stored; raises as ``load`` does, without reading more than tied tables."""
    tensors = checkpoint.tensors
    names = stored_names(names, tensors)
    prefix = find_prefix(names, tensors)
    tables = find_tables(spec, names, prefix, tensors)
    weights = list(plan(spec, names, prefix, tables))
    parts = [part for weight in weights for group in weight.groups for part in group]
    raise_all(
        CheckpointError,
        f"the tensors of {checkpoint.path} do not fit its config.json ({spec.model_type}):",
        [
            *_missing(parts, tensors),
            *_wrong_shapes(parts, tensors),
            *_unused(spec, names, prefix, [*(part.name for part in parts), *tables.copies], tensors),
        ],
    )
    return weights


def stored_names(names: Names, tensors: Mapping[str, StoredTensor]) -> Names:
    """Those of the two ways to store experts that the checkpoint has."""
    joined = names.joined
    if joined and any(name.endswith(joined.experts[1]) for name in tensors):
        return joined
    return names


def find_prefix(names: Names, tensors: Mapping[str, StoredTensor]) -> str:
    """The prefix under which the checkpoint keeps its token embedding (base models are saved without)."""
    tables = [names.tokens, *([names.common, names.encoder.tokens] if names.encoder else [])]
    fitting = (
        prefix
        for prefix in names.prefixes
        if any(f"{prefix}{table}.weight" in tensors for table in tables if table)
    )
    return next(fitting, names.prefixes[0])


def _read(weight: Weight, tensors: Mapping[str, StoredTensor], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    groups = [
        np.concatenate([part.convert(_stored(part, tensors)).astype(dtype) for part in group], axis=-1)
        for group in weight.groups
    ]
    return np.stack(groups) if weight.stacked else np.ascontiguousarray(groups[0])


def _stored(part: Part, tensors: Mapping[str, StoredTensor]) -> npt.NDArray[Any]:
    if part.default is not None and part.name not in tensors:
        return part.default()
    return tensors[part.name].read()


def _missing(parts: Iterable[Part], tensors: Mapping[str, StoredTensor]) -> list[str]:
    return [
        f"missing: {part.name} {list(part.shape)}{did_you_mean(part.name, tensors)}"
        for part in parts
        if part.name not in tensors and part.default is None
    ]


def _wrong_shapes(parts: Iterable[Part], tensors: Mapping[str, StoredTensor]) -> list[str]:
    return [
        f"wrong shape: {part.name} is {list(tensors[part.name].shape)}, config.json asks {list(part.shape)}"
        for part in parts
        if part.name in tensors and tensors[part.name].shape != part.shape
    ]


def _unused(
    spec: ModelSpec, names: Names, prefix: str, used: Iterable[str], tensors: Mapping[str, StoredTensor]
) -> list[str]:
    known = set(used)
    patterns = [re.compile(pattern) for pattern in names.unused]
    rest = [
        name
        for name in tensors
        if name not in known and not any(pattern.search(name) for pattern in patterns)
    ]
    head, tokens = f"{names.head}.weight", f"{prefix}{names.tokens}.weight"
    if spec.head.tied and head in rest and tokens in tensors:
        rest.remove(head)
        return [*_stored_tied_head(tensors[head], tensors[tokens]), *(f"unused: {name}" for name in rest)]
    return [f"unused: {name} {list(tensors[name].shape)}" for name in rest]


def _stored_tied_head(head: StoredTensor, tokens: StoredTensor) -> list[str]:
    """A tied head may be stored beside the embedding, but only as its copy: else the reference unties it."""
    if (
        head.shape == tokens.shape
        and head.dtype == tokens.dtype
        and np.array_equal(head.read(), tokens.read())
    ):
        return []
    return [
        f"{head.name} differs from {tokens.name}, though config.json has tie_word_embeddings=true "
        "(the reference then leaves them untied); set tie_word_embeddings to false"
    ]
