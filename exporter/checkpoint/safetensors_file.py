"""One safetensors file: the header is checked against the file's size before any tensor is read.

Format: 8 bytes little-endian header length N, N bytes of JSON ``{name: {dtype, shape, data_offsets}}``, then
the data (https://huggingface.co/docs/safetensors/index#format).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from exporter.checkpoint.tensor import StoredTensor
from exporter.errors import CheckpointError, shown
from exporter.impostors import what_it_is

# The reference implementation's own limit; a larger number is a damaged file, not a large model.
MAX_HEADER_BYTES = 100_000_000

DTYPES: dict[str, npt.DTypeLike] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E8M0": ml_dtypes.float8_e8m0fnu,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


@dataclass(frozen=True)
class MappedTensor(StoredTensor):
    """A tensor at ``start`` of its file."""

    start: int

    def read(self) -> npt.NDArray[Any]:
        """A read-only array in the stored dtype, mapped from the file."""
        if self.size == 0:
            return np.zeros(self.shape, DTYPES[self.dtype])
        raw = np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.start, shape=(self.nbytes,))
        return raw.view(DTYPES[self.dtype]).reshape(self.shape)


def read_header(path: Path) -> dict[str, MappedTensor]:
    """The tensors of a safetensors file, by name.

    Raises:
      CheckpointError: the file is truncated, damaged or something else; the message says where, and what.
    """
    try:
        file_bytes = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            header_bytes = int.from_bytes(prefix, "little")
            fits = len(prefix) == 8 and header_bytes <= min(file_bytes - 8, MAX_HEADER_BYTES)
            text = file.read(header_bytes) if fits else b""
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not fits:
        raise _damaged(path, f"a header of {header_bytes} bytes does not fit a file of {file_bytes} bytes")
    header = _parsed(path, text)
    data_start = 8 + header_bytes
    stored = {name: _stored(path, name, entry, data_start, file_bytes) for name, entry in header.items()}
    _check_layout(path, stored.values(), data_start, file_bytes)
    return stored


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    """The entries of a header."""
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    notes = header.pop("__metadata__", None)
    if not (notes is None or (isinstance(notes, dict) and all(isinstance(v, str) for v in notes.values()))):
        raise _damaged(path, "its __metadata__ is not an object of strings")
    return header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a name that stands twice would hide one of two tensors."""
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name stands there twice")
    return entries


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _stored(path: Path, name: str, entry: Any, data_start: int, file_bytes: int) -> MappedTensor:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(path, name, entry) from error
    if not isinstance(dtype, str) or any(type(number) is not int for number in (*shape, begin, end)):
        raise _malformed(path, name, entry)
    if dtype not in DTYPES:
        raise CheckpointError(f"{path}: tensor {name!r} has dtype {dtype!r}; known are {', '.join(DTYPES)}")
    if begin < 0 or data_start + end > file_bytes:
        raise _damaged(path, f"tensor {name!r} ends at byte {data_start + end}, the file at {file_bytes}")
    needed = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if min(shape, default=1) < 0 or end - begin != needed:
        raise _damaged(path, f"tensor {name!r} {dtype}{list(shape)} needs {needed} bytes, has {end - begin}")
    return MappedTensor(name, dtype, shape, path, needed, data_start + begin)


def _check_layout(path: Path, tensors: Iterable[MappedTensor], data_start: int, file_bytes: int) -> None:
    """The tensors must fill the data without gaps or overlaps, as the reference implementation asks."""
    at = data_start
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.nbytes)):
        if tensor.start != at:
            raise _damaged(path, f"tensor {tensor.name!r} begins at byte {tensor.start}, not at {at}")
        at += tensor.nbytes
    if at != file_bytes:
        raise _damaged(path, f"its tensors end at byte {at}, the file at {file_bytes}")


def _malformed(path: Path, name: str, entry: Any) -> CheckpointError:
    return _damaged(path, f"tensor {name!r} has a malformed header entry {shown(entry, 80)}")


def _damaged(path: Path, reason: str) -> CheckpointError:
    """What is wrong with a file: that it is something else, or else ``reason``."""
    what = what_it_is(path)
    if what is not None:
        return CheckpointError(f"{path} is {what}")
    return CheckpointError(f"{path} is truncated or damaged: {reason}; fetch it again")
