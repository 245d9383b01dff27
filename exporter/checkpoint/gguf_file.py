"""One GGUF file: its head is checked against the file's size before any tensor is read.

Format: ``GGUF``, version, numbers of tensors and of metadata, the metadata, the tensors' table, and the data
at the next multiple of ``general.alignment`` (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
Quantised types are undone by the ``gguf`` package, a tensor at a time.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.checkpoint.tensor import StoredTensor
from exporter.errors import CheckpointError, installing
from exporter.impostors import what_it_is

_VERSIONS = (2, 3)
_STRING, _ARRAY, _BOOL = 8, 9, 7
#: Value type -> its format: u8, i8, u16, i16, u32, i32, f32, bool, u64, i64, f64.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", _BOOL: "?", 10: "Q", 11: "q", 12: "d"}
_MAX_DIMENSIONS = 4


@dataclass(frozen=True)
class GgufTensor(StoredTensor):
    """A tensor at ``start`` of its file; ``kind`` is its type there, ``dtype`` what ``read`` makes of it."""

    start: int
    kind: str

    def read(self) -> npt.NDArray[Any]:
        """float32, as the package dequantises it."""
        from gguf import GGMLQuantizationType, quants

        raw = np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.start, shape=(self.nbytes,))
        rows = raw.reshape(math.prod(self.shape[:-1]), -1)
        return quants.dequantize(rows, GGMLQuantizationType[self.kind]).reshape(self.shape)


@dataclass(frozen=True)
class GgufFile:
    """The head of a file: metadata, and the tensors by their names in it."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]


def read_gguf(path: Path) -> GgufFile:
    """The head of a GGUF file.

    Raises:
      CheckpointError: the file is truncated, damaged, something else, in parts, or of a type that the package
        does not undo.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise CheckpointError(f"{path} is {what_it_is(path) or 'not a GGUF file'}")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _head(path, _Cursor(content, 4))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except (struct.error, ValueError, OverflowError) as error:  # ran off the end, or made no sense
        raise damaged(path, str(error)) from error


class _Cursor:
    """Reads values one after the other; raises struct.error or ValueError where there is none."""

    def __init__(self, content: mmap.mmap, at: int) -> None:
        self.content, self.at = content, at

    def numbers(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self.content, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def string(self) -> str:
        (length,) = self.numbers("Q")
        self.check(length, 1)
        self.at += length
        return self.content[self.at - length : self.at].decode("utf-8")

    def check(self, count: int, width: int) -> None:
        if count * width > len(self.content) - self.at:
            raise ValueError(f"at byte {self.at} it asks for {count * width} bytes, beyond its end")

    def value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self.numbers(_NUMBERS[kind])[0]
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise ValueError(f"at byte {self.at} stands a value of the unknown type {kind}")
        inner, count = self.numbers("IQ")
        if inner in _NUMBERS:
            self.check(count, struct.calcsize(f"<{_NUMBERS[inner]}"))
            return list(self.numbers(f"{count}{_NUMBERS[inner]}"))
        if inner != _STRING:
            raise ValueError(f"at byte {self.at} stands an array of the unknown type {inner}")
        self.check(count, 8)
        return [self.string() for _ in range(count)]


def _head(path: Path, cursor: _Cursor) -> GgufFile:
    (version,) = cursor.numbers("I")
    if version not in _VERSIONS:
        swapped = " (a big-endian file)" * (version == int.from_bytes(b"\0\0\0\3", "little"))
        raise CheckpointError(
            f"{path} is GGUF of version {version}{swapped}; 2 and 3 are read, little-endian"
        )
    tensor_count, metadata_count = cursor.numbers("QQ")
    metadata: dict[str, Any] = {}
    for _ in range(metadata_count):
        key = cursor.string()
        if key in metadata:
            raise ValueError(f"{key} stands there twice")
        metadata[key] = cursor.value(cursor.numbers("I")[0])
    _refuse_parts(path, metadata)
    table = [_entry(cursor) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1:
        raise ValueError(f"general.alignment={alignment!r} is no alignment")
    start = -(-cursor.at // alignment) * alignment
    return GgufFile(path, metadata, _tensors(path, table, start, len(cursor.content)))


def _refuse_parts(path: Path, metadata: Mapping[str, Any]) -> None:
    parts = metadata.get("split.count", 1)
    if parts != 1:
        raise CheckpointError(
            f"{path} is one of {parts} parts, which transformers does not read either; join them: "
            "llama-gguf-split --merge FIRST OUT.gguf"
        )


def _entry(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape (slowest first), type and offset."""
    name = cursor.string()
    (dimensions,) = cursor.numbers("I")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise ValueError(f"tensor {name!r} has {dimensions} dimensions")
    shape = tuple(reversed(cursor.numbers(f"{dimensions}Q")))
    kind, offset = cursor.numbers("IQ")
    return name, shape, kind, offset


def _tensors(
    path: Path, table: list[tuple[str, tuple[int, ...], int, int]], start: int, file_bytes: int
) -> dict[str, GgufTensor]:
    tensors: dict[str, GgufTensor] = {}
    end = start
    for name, shape, number, offset in sorted(table, key=lambda entry: entry[3]):
        kind, per_block, block_bytes = _kind(path, name, number)
        if name in tensors:
            raise ValueError(f"tensor {name!r} stands there twice")
        if 0 in shape or shape[-1] % per_block:
            raise ValueError(f"tensor {name!r} {list(shape)} has no whole blocks of {kind}")
        nbytes = math.prod(shape) // per_block * block_bytes
        if start + offset < end:
            raise ValueError(f"tensor {name!r} begins in another one")
        end = start + offset + nbytes
        if end > file_bytes:
            raise ValueError(f"tensor {name!r} ends at byte {end}, the file at {file_bytes}")
        tensors[name] = GgufTensor(name, "F32", shape, path, nbytes, start + offset, kind)
    return {name: tensors[name] for name, *_ in table}


def _kind(path: Path, name: str, number: int) -> tuple[str, int, int]:
    """A type's name, numbers in a block, and bytes of it."""
    found = _kinds().get(number)
    if found is None:
        known = ", ".join(sorted(kind for kind, *_ in _kinds().values()))
        raise CheckpointError(
            f"{path}: tensor {name!r} is of the quantised type {_name(number)}, which the gguf package does "
            f"not undo; known are {known}"
        )
    return found


def _name(number: int) -> str:
    from gguf import GGMLQuantizationType

    known = {kind.value: kind.name for kind in GGMLQuantizationType}
    return known.get(number, f"number {number}")


@cache
def _kinds() -> dict[int, tuple[str, int, int]]:
    """The types that the installed package undoes."""
    try:
        from gguf import GGML_QUANT_SIZES, quants
    except ImportError as error:
        raise CheckpointError(f"GGUF files need the package gguf: {installing('gguf')}") from error
    found = {}
    for kind, (per_block, block_bytes) in GGML_QUANT_SIZES.items():
        try:
            quants.dequantize(np.zeros((1, block_bytes), np.uint8), kind)
        except NotImplementedError:
            continue
        found[kind.value] = (kind.name, per_block, block_bytes)
    return found


def damaged(path: Path, reason: str) -> CheckpointError:
    """The file is whole in name only."""
    return CheckpointError(f"{path} is truncated or damaged: {reason}; fetch it again")
