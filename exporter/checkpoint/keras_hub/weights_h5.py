"""The variables in a preset's weights, by the paths that Keras gives them; read one at a time.

Format: ``keras.saving``'s HDF5 store. Each layer is a group of its place in the model (its attributes' names,
in lists its class's name and a count), with its variables as data sets ``vars/0``, ``vars/1`` ...
Sharded weights have an index, model.weights.json, whose ``weight_map`` names the files of every group.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from exporter.checkpoint.checkpoint import read_json
from exporter.checkpoint.files import is_inside
from exporter.checkpoint.h5_file import read_h5
from exporter.checkpoint.safetensors_file import MappedTensor
from exporter.errors import CheckpointError, raise_all

WEIGHTS, INDEX = "model.weights.h5", "model.weights.json"
#: What Keras called the layers at first.
_OLD_LAYERS = "_layer_checkpoint_dependencies"


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


def stored_variables(preset: Path) -> dict[str, MappedTensor]:
    """Every variable by its path; nothing but shapes and dtypes is read.

    Raises:
      CheckpointError: a file is missing, truncated, damaged or something else.
    """
    return {
        name: tensor
        for file in weight_files(preset)
        if file != INDEX
        for name, tensor in _variables(preset / file).items()
    }


def _variables(path: Path) -> dict[str, MappedTensor]:
    stored = read_h5(path, "keras")
    if not stored:
        raise CheckpointError(f"{path} holds no variables; fetch it again")
    named = {name: name.replace(_OLD_LAYERS, "layers", 1) for name in stored}
    return {named[name]: replace(tensor, name=named[name]) for name, tensor in stored.items()}
