"""The variables in a preset's weights, by the paths that Keras gives them; read one at a time.

Format: ``keras.saving``'s HDF5 store. Each layer is a group of its place in the model (its attributes' names,
in lists its class's name and a count), with its variables as data sets ``vars/0``, ``vars/1`` ...; bfloat16
is stored as two opaque bytes under an attribute ``dtype``. Sharded weights have an index, model.weights.json,
whose ``weight_map`` names the files of every group.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from exporter.checkpoint.checkpoint import read_json
from exporter.checkpoint.files import is_inside
from exporter.checkpoint.safetensors_file import DTYPES
from exporter.checkpoint.tensor import StoredTensor
from exporter.errors import CheckpointError, raise_all
from exporter.impostors import what_it_is

WEIGHTS, INDEX = "model.weights.h5", "model.weights.json"
_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
#: What Keras called the layers at first.
_OLD_LAYERS = "_layer_checkpoint_dependencies"
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Variable(StoredTensor):
    """A data set of an HDF5 file; its name is its path there."""

    def read(self) -> npt.NDArray[Any]:
        """The array, in the dtype that it was saved from."""
        with _opened(self.path) as file:
            array = file[self.name][()]
        return array.view(ml_dtypes.bfloat16) if self.dtype == "BF16" else array


def weight_files(preset: Path) -> list[str]:
    """The files that hold a preset's weights, an index first.

    Raises:
      CheckpointError: there are none, or an index names files that are not there.
    """
    if (preset / WEIGHTS).is_file():
        return [WEIGHTS]
    if not (preset / INDEX).is_file():
        raise CheckpointError(f"{preset} is a KerasHub preset without weights: neither {WEIGHTS} nor {INDEX}")
    shards = shard_names(preset / INDEX)
    missing = [f"{name} is missing" for name in shards if not (preset / name).is_file()]
    raise_all(
        CheckpointError, f"{preset / INDEX} names shards that are not there (fetch them again):", missing
    )
    return [INDEX, *shards]


def shard_names(index: Path) -> list[str]:
    """The files that an index names; one group may lie in several.

    Raises:
      CheckpointError: it names none, or something else than files beside it.
    """
    found = read_json(index).get("weight_map")
    groups = found.values() if isinstance(found, dict) else ()
    names = {str(name) for group in groups for name in (group if isinstance(group, list) else [group])}
    if not names or not all(is_inside(name) and name.endswith(".h5") for name in names):
        raise CheckpointError(f"{index}: 'weight_map' must map groups to .h5 files beside it")
    return sorted(names)


def stored_variables(preset: Path) -> dict[str, Variable]:
    """Every variable by its path; nothing but shapes and dtypes is read.

    Raises:
      CheckpointError: a file is missing, truncated, damaged or something else.
    """
    found: dict[str, Variable] = {}
    for name in weight_files(preset):
        if name != INDEX:
            found |= _variables(preset / name)
    return found


def _variables(path: Path) -> dict[str, Variable]:
    import h5py

    found: dict[str, Variable] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name.replace(_OLD_LAYERS, "layers", 1)] = _variable(path, name, item)

    with _opened(path) as file:
        file.visititems(visit)
    if not found:
        raise CheckpointError(f"{path} holds no variables; fetch it again")
    return found


def _variable(path: Path, name: str, item: Any) -> Variable:
    if item.external or item.is_virtual:
        raise CheckpointError(f"{path}: {name!r} lies in another file, which is not read")
    bfloat16 = item.attrs.get("dtype") == "bfloat16" and item.dtype.itemsize == 2
    dtype = "BF16" if bfloat16 else _NAMES.get(item.dtype)
    if dtype is None:
        raise CheckpointError(f"{path}: {name!r} has dtype {item.dtype}; known are {', '.join(DTYPES)}")
    return Variable(name, dtype, tuple(item.shape), path, item.dtype.itemsize * item.size)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An HDF5 file; links to other files are not followed, because only this file's data sets are listed."""
    import h5py

    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            raise CheckpointError(f"{path} is {what_it_is(path) or 'no HDF5 file'}")
    try:
        with h5py.File(path, "r") as opened:
            yield opened
    except (OSError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path} is truncated or damaged: {error}; fetch it again") from error
