"""One HDF5 file of weights, of transformers 4's TensorFlow classes or of Keras: numbers at known places.

Both write every dataset as one run of bytes, so a tensor is mapped from its place, as one of safetensors is;
HDF5 is asked only where that is, in a process of its own (``h5_scan``).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np

from exporter.checkpoint.safetensors_file import DTYPES, MappedTensor
from exporter.checkpoint.tf_names import whole_name
from exporter.errors import CheckpointError
from exporter.impostors import what_it_is

_SIGNATURE = b"\x89HDF"
#: A file of ten thousand tensors is scanned in seconds.
_SECONDS = 600
#: NumPy's threads would take address space that the scan has little of.
_ENVIRONMENT = os.environ | {"OPENBLAS_NUM_THREADS": "1"}


def read_h5(path: Path, writer: Literal["transformers", "keras"] = "transformers") -> dict[str, MappedTensor]:
    """The tensors of a file by their names in it; of one name, the last counts.

    Those of transformers have the names of their TensorFlow variables, Keras's the path of their dataset.

    Raises:
      CheckpointError: the file is truncated, damaged, something else, or holds what the writer never wrote.
    """
    try:
        with path.open("rb") as file:
            whole = file.read(len(_SIGNATURE)) == _SIGNATURE
        if not whole and (what := what_it_is(path)):
            raise CheckpointError(f"{path} is {what}")
        file_bytes = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not whole:
        raise _damaged(path, "it does not begin as an HDF5 file")
    tensors = [_stored(path, file_bytes, **entry) for entry in _scan(path, writer)]
    return {tensor.name: tensor for tensor in tensors}


def _scan(path: Path, writer: str) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("h5_scan.py")
    command = [sys.executable, "-P", str(script), str(path.resolve()), writer]
    try:
        said = subprocess.run(command, capture_output=True, timeout=_SECONDS, env=_ENVIRONMENT, text=True)
        answer = json.loads(said.stdout)
    except subprocess.TimeoutExpired as error:
        raise _damaged(path, f"HDF5's library did not come to an end in {_SECONDS} seconds") from error
    except ValueError as error:
        last = (said.stderr.strip().splitlines() or ["no message"])[-1]
        raise _damaged(path, f"HDF5's library ended with code {said.returncode}: {last}") from error
    if "refused" in answer:
        raise CheckpointError(f"{path}: {answer['refused']}")
    if "damaged" in answer:
        raise _damaged(path, answer["damaged"])
    return list(answer["tensors"])


def _stored(
    path: Path, file_bytes: int, *, name: str, in_shard: bool, dtype: str, shape: list[int], start: int
) -> MappedTensor:
    nbytes = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if start + nbytes > file_bytes:
        raise _damaged(path, f"{name!r} ends at byte {start + nbytes}, the file at {file_bytes}")
    return MappedTensor(whole_name(name) if in_shard else name, dtype, tuple(shape), path, nbytes, start)


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is truncated or damaged: {reason}; fetch it again")
