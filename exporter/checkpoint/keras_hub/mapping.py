"""The reference's tensors, each made of a preset's variables when it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt

from exporter.checkpoint.keras_hub.reshaping import Way
from exporter.checkpoint.keras_hub.tables import Entries, Table
from exporter.checkpoint.tensor import LazyTensor, StoredTensor
from exporter.errors import CheckpointError, raise_all

#: What only training needs: an optimizer's variables, and the states from which dropout draws.
_TRAINING = re.compile(r"(^|/)(optimizer|seed_generator)/")


def reference_tensors(
    table: Table, config: Mapping[str, Any], variables: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """Every tensor that the variables hold, by the reference's names.

    Raises:
      CheckpointError: variables that are part of none of them.
    """
    used: set[str] = set()
    made: dict[str, StoredTensor] = {}
    for name, paths, way in _entries(table, config):
        if all(path in variables for path in paths):
            made[name] = _tensor(name, [variables[path] for path in paths], way)
            used.update(paths)
    rest = [name for name in variables if name not in used and not _TRAINING.search(name)]
    where = f"{variables[rest[0]].path}" if rest else ""
    raise_all(CheckpointError, f"variables in {where} that the architecture has no place for:", rest)
    return made


def _entries(table: Table, config: Mapping[str, Any]) -> Iterator[tuple[str, list[str], Way]]:
    yield from _placed(table.model, "", "")
    for layers in table.layers:
        before = int(config[layers.after]) if layers.after else 0
        for index in range(int(config[layers.count])):
            at = before + index
            group = layers.group + (f"_{at}" if at else "")
            yield from _placed(layers.variables, layers.prefix.format(i=index), f"{group}/")


def _placed(entries: Entries, prefix: str, group: str) -> Iterator[tuple[str, list[str], Way]]:
    for name, (stored, way) in entries.items():
        yield prefix + name, [_path(group + path) for path in stored.split()], way


def _path(short: str) -> str:
    """``group/0`` -> ``layers/group/vars/0``."""
    group, _, index = short.rpartition("/")
    return f"layers/{group}/vars/{index}"


def _tensor(name: str, parts: list[StoredTensor], way: Way) -> LazyTensor:
    def load() -> npt.NDArray[Any]:
        return way.read([part.read() for part in parts])

    try:
        shape = way.shape([part.shape for part in parts])
    except IndexError:
        shown = ", ".join(f"{part.name} {list(part.shape)}" for part in parts)
        raise CheckpointError(f"{parts[0].path}: {shown} cannot be {name}") from None
    return LazyTensor(name, parts[0].dtype, shape, parts[0].path, sum(part.nbytes for part in parts), load)
