"""Weights written one after the other, read back by both of TensorFlow's loaders."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.model import unwritten_variables
from exporter.saved_model.weights_writer import write_weights
from exporter.weights import WeightInfo, WeightPart, Weights

DTYPES = (np.float32, ml_dtypes.bfloat16, np.float16, np.int8)


class Made(Weights):
    """Weights of known numbers."""

    def __init__(self, infos: dict[str, WeightInfo]) -> None:
        self.infos, self.read = infos, []

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        info, start = self.infos[name], sum(map(ord, name))
        self.read.append(name)
        return (np.arange(np.prod(info.shape)).reshape(info.shape) + start).astype(info.dtype)


class Counted(Made):
    """The same; ``alive`` counts those that somebody holds when one is looked up."""

    def __init__(self, infos: dict[str, WeightInfo]) -> None:
        super().__init__(infos)
        self.alive: list[int] = []
        self._given: list[weakref.ref[Any]] = []

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        gc.collect()
        self.alive.append(sum(ref() is not None for ref in self._given))
        array = super().__getitem__(name)
        self._given.append(weakref.ref(array))
        return array


class Sums(tf.Module):
    """The sum of each weight times its input."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.held = {"weights": unwritten_variables(weights.infos)}
        self.factor = tf.Variable(2.0)

    def answer(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            name: tf.reduce_sum(tf.cast(variable, tf.float32)) * self.factor * x
            for name, variable in self.held["weights"].items()
        }


def infos(shape: tuple[int, ...] = (7, 6)) -> dict[str, WeightInfo]:
    """One weight of each dtype, a vector, and a name that a checkpoint's keys must escape."""
    each = {f"layers.0.{np.dtype(dtype).name}": WeightInfo(shape, np.dtype(dtype)) for dtype in DTYPES}
    return each | {"a/b.c": WeightInfo((5,), np.dtype(np.float32))}


def written(weights: Made, directory: Path, **limits: int) -> None:
    module = Sums(weights)
    signature = tf.function(module.answer).get_concrete_function(x=tf.TensorSpec([], tf.float32))
    tf.saved_model.save(module, str(directory), signatures=signature)
    write_weights(directory, ("held", "weights"), weights, **limits)


@pytest.fixture(
    params=[{}, {"group_bytes": 1}, {"group_bytes": 1, "slice_bytes": 60}],
    ids=["together", "alone", "in slices"],
)
def version(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Made, dict[str, int]]:
    weights = Made(infos())
    written(weights, tmp_path, **request.param)
    return tmp_path, weights, request.param


def test_tensorflow_loads_every_weight(version: tuple[Path, Made, dict[str, int]]) -> None:
    directory, weights, _ = version
    held = tf.saved_model.load(str(directory)).held["weights"]
    assert set(held) == set(weights.infos)
    for name, info in weights.infos.items():
        value = held[name].numpy()
        assert value.dtype == info.dtype
        np.testing.assert_array_equal(value, weights[name])


def test_a_session_loads_every_weight(version: tuple[Path, Made, dict[str, int]]) -> None:
    directory, weights, _ = version
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(directory))
        signature = meta.signature_def["serving_default"]
        outputs = {name: info.name for name, info in signature.outputs.items()}
        found = session.run(outputs, {signature.inputs["x"].name: 3.0})
    for name in weights.infos:
        assert found[name] == pytest.approx(6.0 * weights[name].astype(np.float32).sum())


def test_the_files_are_those_of_one_bundle(version: tuple[Path, Made, dict[str, int]]) -> None:
    directory, weights, limits = version
    files = sorted(path.name for path in (directory / "variables").iterdir())
    data = [name for name in files if name.startswith("variables.data-")]
    assert files == [*data, "variables.index"]
    if not limits:
        assert len(data) == 2  # the rest, and one group
    elif "slice_bytes" not in limits:
        assert len(data) == 1 + len(weights.infos)
    else:
        # float32 [7, 6] in slices of 2 rows, bfloat16 of 5; float16 cannot be read in slices; then 42 and 20
        # bytes.
        assert len(data) == 1 + 4 + 2 + 1 + 1 + 1


class Stacked(Made):
    """The same, handed out an entry of the first axis at a time, in turns."""

    def parts(self) -> Iterator[WeightPart]:
        for entry in range(7):
            for name, info in self.infos.items():
                if entry < info.shape[0]:
                    size = info.nbytes // info.shape[0]
                    yield WeightPart(name, entry, size, lambda name=name, entry=entry: self[name][entry])


@pytest.mark.parametrize("limits", [{}, {"group_bytes": 1, "slice_bytes": 9}], ids=["together", "in slices"])
def test_weights_written_by_entries_of_their_first_axis(limits: dict[str, int], tmp_path: Path) -> None:
    weights = Stacked(infos((7, 6, 2)))
    del weights.infos["a/b.c"]
    written(weights, tmp_path, **limits)
    held = tf.saved_model.load(str(tmp_path)).held["weights"]
    for name in weights.infos:
        np.testing.assert_array_equal(held[name].numpy(), weights[name])
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path))
        signature = meta.signature_def["serving_default"]
        outputs = {name: info.name for name, info in signature.outputs.items()}
        found = session.run(outputs, {signature.inputs["x"].name: 1.0})
    for name in weights.infos:
        assert found[name] == pytest.approx(2.0 * weights[name].astype(np.float32).sum())


def test_weights_are_read_once_and_one_at_a_time(tmp_path: Path) -> None:
    weights = Counted(infos())
    written(weights, tmp_path, group_bytes=1)
    assert weights.read == list(weights.infos)
    assert max(weights.alive) == 0


def test_the_fingerprint_is_that_of_what_stands_there(tmp_path: Path) -> None:
    weights = Made(infos())
    written(weights, tmp_path)
    first = tf.saved_model.experimental.read_fingerprint(str(tmp_path)).checkpoint_hash
    more = Made(infos((8, 6)))
    written(more, tmp_path / "more")
    assert tf.saved_model.experimental.read_fingerprint(str(tmp_path / "more")).checkpoint_hash != first
