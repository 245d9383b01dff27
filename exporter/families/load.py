"""Finds a model's weights in a checkpoint; every tensor is accounted for before any is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy.typing as npt

from exporter.checkpoint import Checkpoint, StoredTensor
from exporter.checkpoint.files import some
from exporter.errors import CheckpointError, did_you_mean, raise_all
from exporter.families.adapted import adapted
from exporter.families.dequantised import as_stored
from exporter.families.names import Names, Tables
from exporter.families.parts import Part, Weight
from exporter.families.reader import QUANTISED
from exporter.families.stored_names import by_reference_names, explain_prefix, foreign_prefix
from exporter.families.stored_weights import StoredWeights
from exporter.families.ties import find_tables, own_tables
from exporter.families.turned import turned_experts
from exporter.families.weights import plan
from exporter.spec import ModelSpec

#: Buffers that the reference computes, in whatever layer an old checkpoint stored them.
_COMPUTED = (r"(^|\.)rotary_emb\.inv_freq$", r"(^|\.)position_ids$")


@dataclass(frozen=True)
class Found:
    """Where a model's weights are: the plan, and the stored tensors by the reference's names."""

    weights: list[Weight]
    tensors: Mapping[str, StoredTensor]

    @property
    def parts(self) -> list[Part]:
        """Every tensor that is asked for."""
        return _parts(self.weights)


def load(spec: ModelSpec, names: Names, checkpoint: Checkpoint, dtype: npt.DTypeLike) -> StoredWeights:
    """Our weights by our names, in ``dtype``: each is read when it is looked up.

    Raises:
      CheckpointError: lists every missing and unused tensor and every wrong shape.
    """
    found = check(spec, names, checkpoint)
    return StoredWeights(found.weights, found.tensors, dtype)


def check(spec: ModelSpec, names: Names, checkpoint: Checkpoint) -> Found:
    """Where every weight is stored; raises as ``load`` does, without reading more than tied tables.

    What the reference passes over as well is noted with the checkpoint.
    """
    _refuse_mlx(checkpoint)
    names = stored_names(names, checkpoint.tensors)
    own = own_tables(names)
    wanted = {*own.copies, *(part.name for part in _parts(plan(spec, names, own)))}
    tensors = as_stored(by_reference_names(checkpoint.tensors, names, wanted), names)
    if checkpoint.adapter:
        tensors = adapted(checkpoint.adapter, spec, names, tensors, wanted)
    tables = find_tables(spec, names, tensors)
    weights = list(plan(spec, names, tables))
    tensors = turned_experts(tensors, names, _parts(weights))
    found = Found(weights, tensors)
    missing = [part for part in found.parts if part.name not in tensors and part.default is None]
    needed = [part.name for part in missing if part.name not in own.copies]
    if needed and (prefix := foreign_prefix(checkpoint.tensors, names, wanted, needed)):
        raise CheckpointError(f"{checkpoint.place}: {explain_prefix(prefix)}")
    used = {part.name for part in found.parts}
    beside = {name: tower for name, tower in _beside(names, tensors).items() if name not in used}
    rest = _unused(names, [*used, *tables.copies, *beside], tensors)
    problems = [
        *_missing(missing, tensors),
        *_wrong_shapes(found.parts, tensors),
        *_no_numbers(found.parts, tensors),
    ]
    inside = rest if problems else _inside(spec, names, found.parts, rest)
    raise_all(
        CheckpointError,
        f"the tensors of {checkpoint.place} do not fit its config.json ({spec.model_type}):",
        [*problems, *(f"unused: {tensors[name].name} {list(tensors[name].shape)}" for name in inside)],
    )
    _note(checkpoint, spec, own, tables, [tensors[name].name for name in rest])
    if beside:
        counted = ", ".join(f"{count} of {tower}" for tower, count in Counter(beside.values()).items())
        checkpoint.note(f"tensors beside the text model, left out: {counted}")
    return found


def stored_names(names: Names, tensors: Mapping[str, StoredTensor]) -> Names:
    """Those of the two ways to store experts that the checkpoint has."""
    joined = names.joined
    if joined and any(name.endswith(joined.experts[1]) for name in tensors):
        return joined
    return names


def _refuse_mlx(checkpoint: Checkpoint) -> None:
    """Each matrix of such a checkpoint is three tensors of other shapes: one line says it better."""
    packed = any(tensor.dtype == "U32" for tensor in checkpoint.tensors.values())
    if packed and isinstance(checkpoint.config.get("quantization"), dict):
        raise CheckpointError(f"{checkpoint.place}: {QUANTISED['quantization']}")


def _parts(weights: Iterable[Weight]) -> list[Part]:
    parts = (part for weight in weights for group in weight.groups for part in group)
    return list({part.name: part for part in parts}.values())  # some tensors are cut into two weights


def _pairs(parts: Iterable[Part], tensors: Mapping[str, StoredTensor]) -> Iterator[tuple[Part, StoredTensor]]:
    return ((part, tensors[part.name]) for part in parts if part.name in tensors)


def _missing(parts: Iterable[Part], tensors: Mapping[str, StoredTensor]) -> list[str]:
    return [f"missing: {part.name} {list(part.shape)}{did_you_mean(part.name, tensors)}" for part in parts]


def _wrong_shapes(parts: Iterable[Part], tensors: Mapping[str, StoredTensor]) -> list[str]:
    return [
        f"wrong shape: {tensor.name} is {list(tensor.shape)}, config.json asks {list(part.shape)}"
        for part, tensor in _pairs(parts, tensors)
        if tensor.shape != part.shape
    ]


def _no_numbers(parts: Iterable[Part], tensors: Mapping[str, StoredTensor]) -> list[str]:
    """Weights in whole numbers are quantised, whatever config.json says."""
    return [
        f"quantised: {tensor.name} is stored as {tensor.dtype}; export the unquantised checkpoint"
        for _, tensor in _pairs(parts, tensors)
        if not tensor.floating
    ]


def _unused(names: Names, used: Iterable[str], tensors: Mapping[str, StoredTensor]) -> list[str]:
    known = set(used)
    patterns = [re.compile(pattern) for pattern in (*names.unused, *_COMPUTED)]
    return [
        name
        for name in tensors
        if name not in known and not any(pattern.search(name) for pattern in patterns)
    ]


def _beside(names: Names, tensors: Mapping[str, StoredTensor]) -> dict[str, str]:
    """The stored tensors of other towers, each with its tower."""
    pattern = re.compile(rf"^(?:model\.)?({'|'.join(map(re.escape, names.towers)) or '(?!)'})(?:\.|$)")
    return {name: match[1] for name in tensors if (match := pattern.match(name))}


def _inside(spec: ModelSpec, names: Names, parts: Iterable[Part], rest: Iterable[str]) -> list[str]:
    """Those of ``rest`` in a layer or module of the model: it was trained with them, so they must count."""
    stacks = [(names, spec.decoder)]
    if names.encoder and spec.encoder:
        stacks.append((names.encoder, spec.encoder))
    layers = [
        names.prefix + own.layer.format(i=index)
        for own, stack in stacks
        for index in range(len(stack.layers))
    ]
    modules = tuple({*layers, *(part.name.rpartition(".")[0] + "." for part in parts)})
    return [name for name in rest if name.startswith(modules)]


def _note(checkpoint: Checkpoint, spec: ModelSpec, own: Tables, tables: Tables, rest: list[str]) -> None:
    """What a reader of the export should know of weights that the reference reads or leaves as we do."""
    if spec.head.tied and tables.head == own.head:
        checkpoint.note(
            f"{own.head} and {tables.tokens} are stored and differ: each is used, as in transformers, "
            "although config.json ties them"
        )
    if rest:
        checkpoint.note(f"tensors of no part of the model, unused as in transformers: {some(rest)}")
