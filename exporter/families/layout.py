"""From the layout of a stored tensor to ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.families.names import Fused
from exporter.spec import AttentionSpec

Array = npt.NDArray[Any]


def as_is(array: Array) -> Array:
    """The stored layout is ours."""
    return array


def alone(array: Array) -> Array:
    """A number -> [1]."""
    return array.reshape(1)


def transpose(array: Array) -> Array:
    """[out, in] -> [in, out]."""
    return array.T


def vaswani_positions(count: int, size: int) -> Array:
    """float32 [count, size]: sines, then cosines of Vaswani et al. 2017, section 3.5."""
    turned = np.arange(count)[:, None] / np.power(10000.0, 2 * (np.arange(size) // 2) / size)
    return np.concatenate([np.sin(turned[:, 0::2]), np.cos(turned[:, 1::2])], axis=1).astype(np.float32)


def apart(array: Array) -> Array:
    """Alternating columns [..., gate 0, up 0, gate 1, ...] -> [..., gate | up]."""
    return np.concatenate([array[..., 0::2], array[..., 1::2]], axis=-1)


def halves(array: Array) -> Array:
    """[experts, out, in] -> [experts, in, out]."""
    return array.swapaxes(1, 2)


def latent_keys(array: Array, heads: int, plain: int) -> Array:
    """[heads * (plain + value), rank] -> [heads, plain, rank]: what makes keys of compressed vectors."""
    return array.reshape(heads, -1, array.shape[-1])[:, :plain]


def latent_values(array: Array, heads: int, plain: int) -> Array:
    """[heads * (plain + value), rank] -> [heads, rank, value]."""
    return array.reshape(heads, -1, array.shape[-1])[:, plain:].swapaxes(1, 2)


def unfuse(array: Array, order: Fused, spec: AttentionSpec) -> Array:
    """Reorders the last axis of a fused projection into q | k | v."""
    lead = array.shape[:-1]
    if order is Fused.CONCATENATED:
        return array
    if order is Fused.GROUPED:
        grouped = array.reshape(*lead, spec.kv_heads, -1, spec.head_dim)
        parts = [grouped[..., :-2, :], grouped[..., -2:-1, :], grouped[..., -1:, :]]
    else:
        blocks = array.reshape(*lead, 4, 3, -1)
        parts = [blocks[..., 0, :], blocks[..., 2, :], blocks[..., 1, :]]
    return np.concatenate([part.reshape(*lead, -1) for part in parts], axis=-1)


def half_of_heads(array: Array, heads: int, half: int) -> Array:
    """[heads * 2 * size] or [heads * 2 * size, in]: the first or second half of each head -> [..., out]."""
    rest = array.shape[1:]
    return array.reshape(heads, 2, -1, *rest)[:, half].reshape(-1, *rest).T
