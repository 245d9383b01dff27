"""Dequantised kernels in a family's own layout: what quantises a layer makes a torch.nn.Linear of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from exporter.checkpoint import StoredTensor
from exporter.checkpoint.quantised import Dequantised
from exporter.families.names import Linear, Names
from exporter.families.ties import own_tables


def as_stored(tensors: Mapping[str, StoredTensor], names: Names) -> Mapping[str, StoredTensor]:
    """``tensors``, by the reference's names, with dequantised kernels [in, out] where others are so."""
    if names.linear is not Linear.IN_OUT:
        return tensors
    own = own_tables(names)
    tables = {own.tokens, own.encoder, own.head}
    return {
        name: _turned(tensor) if isinstance(tensor, Dequantised) and name not in tables else tensor
        for name, tensor in tensors.items()
    }


def _turned(tensor: Dequantised) -> Dequantised:
    return replace(tensor, shape=tensor.shape[::-1], load=lambda: tensor.read().T)
