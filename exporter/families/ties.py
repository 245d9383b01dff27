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


def find_tables(spec: ModelSpec, names: Names, prefix: str, tensors: Tensors) -> Tables:
    """The tables of a checkpoint; names of missing tensors are those that the config asks for."""
    tokens, head = f"{prefix}{names.tokens}.weight", f"{names.head}.weight"
    if names.encoder is None:
        return Tables(tokens, head=None if spec.head.tied else head)
    encoder = f"{prefix}{names.encoder.tokens}.weight"
    common = f"{prefix}{names.common}.weight" if names.common else tokens
    tied = [tokens, *([common, encoder] if names.common else []), *([head] if spec.head.tied else [])]
    group = _Group(common, sorted(tied, key=lambda name: name != common), tensors)
    tokens_used = group.source(tokens)
    head_used = group.source(head) if spec.head.tied else head
    encoder_used = group.source(encoder) if names.common else encoder
    return Tables(
        tokens_used,
        encoder=None if encoder_used == tokens_used else encoder_used,
        head=None if head_used == tokens_used else head_used,
        copies=tuple(name for name in group.members if name in tensors),
    )


@dataclass(frozen=True)
class _Group:
    """Tensors that are one and the same unless the checkpoint says otherwise."""

    common: str
    members: list[str]
    tensors: Tensors

    def source(self, name: str) -> str:
        """The stored tensor that ``name`` is: itself where it differs from the group's first, else that."""
        first = next((member for member in self.members if member in self.tensors), self.common)
        return first if name not in self.tensors or same(self.tensors, name, first) else name


def same(tensors: Tensors, one: str, other: str) -> bool:
    """Whether two stored tensors hold the same values."""
    a, b = tensors[one], tensors[other]
    if one == other:
        return True
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a.read(), b.read()))
