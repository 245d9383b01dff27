"""Writes weights into a SavedModel one after the other; what was written is not held.

The graph is traced and saved over variables that hold nothing (``exporter.model.variables``): TensorFlow
writes ``variables/`` without them, but with the checkpoint's object graph, which says under which key each
is looked for. Every SaveV2 afterwards makes a bundle of its own, of one data file; MergeV2Checkpoints joins
their indices and renames the files. ``tf.saved_model.load`` and a session's loader read the result as any
other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2
from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

from exporter.weights import WeightPart, Weights

#: Weights that are written in one call, together: a file of about this size.
GROUP_BYTES = 256 << 20
#: A larger weight is written in slices of its first axis: no file comes near the 2 GiB that some stores take.
SLICE_BYTES = 1 << 30
#: Weights that TensorFlow writes in slices but does not read so: they stay whole.
_UNSLICED = frozenset({tf.float16})
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def write_weights(
    directory: Path,
    holder: tuple[str, ...],
    weights: Weights,
    *,
    group_bytes: int = GROUP_BYTES,
    slice_bytes: int = SLICE_BYTES,
) -> None:
    """Adds ``weights`` to the variables of a SavedModel that was saved without them.

    Args:
      directory: of the SavedModel.
      holder: the attributes that lead from its root to the mapping with the variables.
      weights: by the names in that mapping; each part is read once, when it is written.
      group_bytes, slice_bytes: as the constants.

    Raises:
      tf.errors.OpError: a file cannot be written.
    """
    target = directory / "variables" / "variables"
    keys = _keys(target, holder)
    bundles = _Bundles(target, group_bytes)
    for part in _parts(weights):
        bundles.make_room(part.nbytes)
        bundles.add(keys[part.name], part, weights.infos[part.name].shape, slice_bytes)
    bundles.join()
    write_fingerprint(str(directory))  # which hashes the index


class _Bundles:
    """The bundles of one call each that become ``target``; the first is the one that TensorFlow wrote."""

    def __init__(self, target: Path, group_bytes: int) -> None:
        self._target, self._group_bytes = target, group_bytes
        self._written = [target.with_name("part-0")]
        for suffix in (".index", ".data-00000-of-00001"):
            target.with_name(target.name + suffix).rename(target.with_name("part-0" + suffix))
        self._group: list[tuple[str, str, npt.NDArray[Any]]] = []

    def make_room(self, nbytes: int) -> None:
        """Writes what is held where ``nbytes`` more would make it too large."""
        held = sum(array.nbytes for _, _, array in self._group)
        if held + nbytes > self._group_bytes:
            self._flush()

    def add(self, key: str, part: WeightPart, shape: tuple[int, ...], slice_bytes: int) -> None:
        """Holds a part until there is no room, or writes it at once, in slices, where it has more bytes.

        ``shape`` is that of the whole weight.
        """
        array = part.read()
        if array.nbytes <= slice_bytes or tf.as_dtype(array.dtype) in _UNSLICED:
            self._hold(key, part, shape, array)
            return
        for rows in _slices(array, slice_bytes):
            self._hold(key, part, shape, array, rows)
            self._flush()

    def _hold(
        self,
        key: str,
        part: WeightPart,
        shape: tuple[int, ...],
        array: npt.NDArray[Any],
        rows: slice | None = None,
    ) -> None:
        spec = "" if part.entry is None and rows is None else _spec(shape, part.entry, rows)
        held = array if rows is None else array[rows]
        self._group.append((key, spec, held if part.entry is None else held[np.newaxis]))

    def _flush(self) -> None:
        if not self._group:
            return
        prefix = self._target.with_name(f"part-{len(self._written)}")
        names, specs, arrays = zip(*self._group, strict=True)
        tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=specs, tensors=arrays)
        self._written.append(prefix)
        self._group.clear()

    def join(self) -> None:
        """Makes one bundle of all; no data is moved."""
        self._flush()
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=[str(prefix) for prefix in self._written],
            destination_prefix=str(self._target),
            delete_old_dirs=False,
        )


def _parts(weights: Weights) -> Iterator[WeightPart]:
    """The parts of all weights; those of one that must stay whole are read together, where its first is."""
    for part in weights.parts():
        info = weights.infos[part.name]
        if part.entry is None or tf.as_dtype(info.dtype) not in _UNSLICED:
            yield part
        elif part.entry == 0:
            yield WeightPart(part.name, None, info.nbytes, partial(weights.__getitem__, part.name))


def _slices(array: npt.NDArray[Any], slice_bytes: int) -> Iterator[slice]:
    """Slices of the first axis."""
    count = array.shape[0]
    step = max(1, slice_bytes * count // array.nbytes)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _spec(shape: tuple[int, ...], entry: int | None, rows: slice | None) -> str:
    """TensorFlow's spec of a slice, as ``4096 512 0,1024:-``: an entry of the first axis, rows of it."""
    axes = [] if entry is None else [f"{entry},1"]
    axes += [] if rows is None else [f"{rows.start},{rows.stop - rows.start}"]
    return f"{' '.join(map(str, shape))} {':'.join([*axes, *['-'] * (len(shape) - len(axes))])}"


def _keys(bundle: Path, holder: tuple[str, ...]) -> dict[str, str]:
    """Under which key each variable of a mapping is looked for, from the written object graph."""
    text = tf.train.load_checkpoint(str(bundle)).get_tensor(_OBJECT_GRAPH)
    nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(text).nodes
    children = _children(nodes[0])
    for name in holder:
        children = _children(nodes[children[name]])
    return {name: nodes[index].attributes[0].checkpoint_key for name, index in children.items()}


def _children(node: Any) -> dict[str, int]:
    return {child.local_name: child.node_id for child in node.children}
