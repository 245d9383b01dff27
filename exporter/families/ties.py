"""Which stored tensors are the token tables and the output head of a model that may share them.

The reference (``PreTrainedModel.tie_weights`` of version 5) ties what its config says, but only where the
checkpoint agrees: of two tensors that are both stored and differ, each keeps its own. Checkpoints store any
part of such a group: one tensor of it, all copies, or the copies alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exporter.checkpoint import StoredTensor
from exporter.families.names import Names, Tables
from exporter.spec import ModelSpec

Tensors = Mapping[str, StoredTensor]
#: Elements that are compared at a time: a large table is never held whole in a wider type.
_COMPARED = 1 << 22


def own_tables(names: Names) -> Tables:
    """The tables of a checkpoint that shares none; ``copies`` are all names that a shared one may have."""
    tokens, head = f"{names.prefix}{names.tokens}.weight", f"{names.head}.weight"
    encoder = f"{names.prefix}{names.encoder.tokens}.weight" if names.encoder else None
    common = (f"{names.prefix}{names.common}.weight",) if names.common else ()
    return Tables(tokens, encoder, head, copies=(*common, tokens, *([encoder] if encoder else []), head))


def tied_tables(spec: ModelSpec, names: Names) -> list[str]:
    """The names that config.json makes one and the same table."""
    own = own_tables(names)
    return [
        name
        for name in own.copies
        if (name != own.head or spec.head.tied) and (name != own.encoder or names.common)
    ]


def find_tables(spec: ModelSpec, names: Names, tensors: Tensors) -> Tables:
    """The tables of a checkpoint; names of missing tensors are those that the config asks for."""
    own = own_tables(names)
    assert own.head is not None
    group = _Group(tied_tables(spec, names), tensors)
    tokens = group.source(own.tokens)
    head = group.source(own.head) if spec.head.tied else own.head
    encoder = own.encoder and (group.source(own.encoder) if names.common else own.encoder)
    return Tables(
        tokens,
        encoder=None if encoder == tokens else encoder,
        head=None if head == tokens else head,
        copies=tuple(name for name in group.members if name in tensors),
    )


@dataclass(frozen=True)
class _Group:
    """Tensors that are one and the same unless the checkpoint says otherwise; the first is the common one."""

    members: list[str]
    tensors: Tensors

    def source(self, name: str) -> str:
        """The stored tensor that ``name`` is: itself where it differs from the group's first, else that."""
        first = next((member for member in self.members if member in self.tensors), self.members[0])
        if name not in self.tensors or same(self.tensors[name], self.tensors[first]):
            return first
        return name


def same(one: StoredTensor, other: StoredTensor) -> bool:
    """Whether two stored tensors hold the same values, whatever their dtypes."""
    if one is other:
        return True
    if one.shape != other.shape:
        return False
    a, b = one.read().reshape(-1), other.read().reshape(-1)
    return all(
        np.array_equal(_wide(a[start : start + _COMPARED]), _wide(b[start : start + _COMPARED]))
        for start in range(0, max(1, a.size), _COMPARED)
    )


def _wide(values: np.ndarray) -> np.ndarray:
    """float64 holds every float that is stored."""
    return values.astype(np.float64)
