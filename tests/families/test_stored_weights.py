"""Weights of a checkpoint, one at a time: their shapes beforehand, and what is in memory meanwhile."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from exporter.checkpoint.tensor import LazyTensor
from exporter.families.layout import apart, as_is, halves, transpose
from exporter.families.parts import Part, Weight
from exporter.families.stored_weights import StoredWeights, fill

RNG = np.random.default_rng(0)
STORED: dict[str, Any] = {
    "q": RNG.normal(size=(40, 6)).astype(np.float32),
    "k": RNG.normal(size=(20, 6)).astype(np.float32),
    "up.0": RNG.normal(size=(5, 6)).astype(np.float16),
    "up.1": RNG.normal(size=(5, 6)).astype(ml_dtypes.bfloat16),
    "joint": RNG.normal(size=(3, 8, 6)).astype(np.float32),
    "scale": RNG.normal(size=6).astype(np.float32),
    "one": RNG.normal(size=(1, 6)).astype(np.float32),
}


class Reads:
    """Stored tensors that count how many arrays of them are in use when one is read."""

    def __init__(self) -> None:
        self.alive: list[int] = []
        self._given: list[weakref.ref[Any]] = []
        self.tensors = {name: self._tensor(name) for name in STORED}

    def _tensor(self, name: str) -> LazyTensor:
        array = STORED[name]
        return LazyTensor(name, "F32", array.shape, Path("x"), array.nbytes, lambda: self._read(name))

    def _read(self, name: str) -> Any:
        self.alive.append(sum(ref() is not None for ref in self._given))
        array = STORED[name].copy()
        self._given.append(weakref.ref(array))
        return array


def part(name: str, convert: Any = as_is) -> Part:
    return Part(name, STORED.get(name, np.zeros((2, 6))).shape, convert)


def stack(dtype: Any) -> dict[str, Any]:
    """Each weight as it must be."""
    f = {name: array.astype(dtype) for name, array in STORED.items()}
    return {
        "layers.0.qkv.kernel": np.concatenate([f["q"].T, f["k"].T], axis=-1),
        "moe.up.kernel": np.stack([f["up.0"].T, f["up.1"].T]),
        "moe.joint": f["joint"].swapaxes(1, 2),
        "moe.apart": np.concatenate([f["joint"][..., 0::2], f["joint"][..., 1::2]], axis=-1),
        "norm.scale": (STORED["scale"] + np.float32(1)).astype(dtype),
        "gate.kernel": f["one"].T,
        "positions": np.full((2, 6), 0.5, dtype),
    }


def weights(dtype: Any, reads: Reads) -> StoredWeights:
    return StoredWeights(
        [
            Weight("layers.0.qkv.kernel", ((part("q", transpose), part("k", transpose)),)),
            Weight("moe.up.kernel", ((part("up.0", transpose),), (part("up.1", transpose),)), stacked=True),
            Weight("moe.joint", ((part("joint", halves),),)),
            Weight("moe.apart", ((part("joint", apart),),)),
            Weight("norm.scale", ((part("scale", lambda array: array.astype(np.float32) + np.float32(1)),),)),
            Weight("gate.kernel", ((part("one", transpose),),)),
            Weight("positions", ((Part("absent", (2, 6), as_is, lambda: np.full((2, 6), 0.5)),),)),
        ],
        reads.tensors,
        dtype,
    )


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float16])
def test_shapes_and_dtypes_are_known_before_anything_is_read(dtype: Any) -> None:
    reads = Reads()
    infos = weights(dtype, reads).infos
    assert reads.alive == []
    assert {name: info.shape for name, info in infos.items()} == {
        name: array.shape for name, array in stack(dtype).items()
    }
    assert {info.dtype for info in infos.values()} == {np.dtype(dtype)}


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float16])
def test_parts_are_read_into_their_places(dtype: Any) -> None:
    found = weights(dtype, Reads())
    for name, expected in stack(dtype).items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
        assert found[name].dtype == expected.dtype


def test_one_stored_tensor_is_in_memory_at_a_time() -> None:
    reads = Reads()
    for _ in weights(np.float32, reads).values():
        pass
    assert reads.alive == [0] * 8


@pytest.mark.parametrize("shape", [(3, 50), (50, 3), (2, 50, 33), (1, 1)])
@pytest.mark.parametrize("stored", [np.float32, ml_dtypes.bfloat16, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_strips_are_the_whole_array(shape: tuple[int, ...], stored: Any, dtype: Any) -> None:
    array = RNG.normal(size=shape).astype(stored).swapaxes(-1, -2)
    into = np.zeros(array.shape, dtype)
    fill(into, array)
    np.testing.assert_array_equal(into, array.astype(dtype))
