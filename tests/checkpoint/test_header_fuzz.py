"""Broken safetensors files by the thousand: an error, or the tensors that the reference reads; no third."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from exporter.checkpoint.safetensors_file import DTYPES, read_header
from exporter.errors import CheckpointError

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.ones(4, np.float16),
    "c": np.zeros((), "i8"),
}
WHOLE = save(TENSORS, {"format": "pt"})
LENGTH = int.from_bytes(WHOLE[:8], "little")
HEADER: dict[str, Any] = json.loads(WHOLE[8 : 8 + LENGTH])
DATA = WHOLE[8 + LENGTH :]
Change = Callable[[random.Random], bytes]


def packed(header: bytes, data: bytes = DATA, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little", signed=False) + header + data


def cut(rng: random.Random) -> bytes:
    """Truncated or extended at any byte."""
    return (WHOLE + b"\0" * 16)[: rng.randrange(len(WHOLE) + 16)]


def wrong_length(rng: random.Random) -> bytes:
    """The length says something else."""
    length = rng.choice([0, 1, LENGTH - 1, LENGTH + 1, len(WHOLE), 10**8 + 1, 2**63, 2**64 - 1])
    return packed(WHOLE[8 : 8 + LENGTH], length=length)


def flipped(rng: random.Random) -> bytes:
    """Some bytes of the header are others."""
    content = bytearray(WHOLE)
    for _ in range(rng.randrange(1, 4)):
        content[rng.randrange(8 + LENGTH)] = rng.randrange(256)
    return bytes(content)


NUMBERS = [-1, 0, 1, 2, 3, 24, 25, 2**31, 2**63, 2**64, 10**40, 1.5, True, None, "3", [], {}, 1e400]


def odd_entry(rng: random.Random) -> bytes:
    """A field of an entry has another value or type, or is gone."""
    header = json.loads(json.dumps(HEADER))
    name = rng.choice(list(header))
    field = rng.choice(["dtype", "shape", "data_offsets", "more", None])
    value: Any = rng.choice(
        [*NUMBERS, *DTYPES, "f32", [rng.choice(NUMBERS)], [rng.choice(NUMBERS), rng.choice(NUMBERS)]]
    )
    if field is None:
        header[name] = value
    elif rng.random() < 0.2:
        header[name].pop(field, None)
    else:
        header[name][field] = value
    return packed(json.dumps(header).encode())


def moved(rng: random.Random) -> bytes:
    """Offsets overlap, leave holes, run backwards or beyond the end."""
    header = json.loads(json.dumps(HEADER))
    entry = header[rng.choice(["a", "b", "c"])]
    by = rng.choice([-24, -8, -2, 2, 8, 24, 2**40])
    entry["data_offsets"] = [offset + by for offset in entry["data_offsets"]]
    return packed(json.dumps(header).encode(), DATA + b"\0" * rng.choice([0, 8, 24]))


def odd_text(rng: random.Random) -> bytes:
    """A header that is no object of tensors at all, or names one twice."""
    text = json.dumps(HEADER)
    return packed(
        rng.choice(
            [
                b"",
                b"null",
                b"[]",
                b"{}",
                b'"a"',
                b"[" * 200_000,
                b'{"a":' * 100_000,
                b"\xff\xfe{}",
                b" " * 1000,
                text.encode("utf-16"),
                (text[:-1] + ', "a": ' + json.dumps(HEADER["a"]) + "}").encode(),
                json.dumps({**HEADER, "__metadata__": rng.choice(NUMBERS)}).encode(),
            ]
        )
    )


@pytest.mark.parametrize("change", [cut, wrong_length, flipped, odd_entry, moved, odd_text])
def test_an_error_or_what_the_reference_reads(tmp_path: Path, full: bool, change: Change) -> None:
    file, rng, messages = tmp_path / "model.safetensors", random.Random(7), []
    for _ in range(3000 if full else 150):
        content = change(rng)
        file.write_bytes(content)
        try:
            ours = {
                name: (t.dtype, list(t.shape), t.read().tobytes()) for name, t in read_header(file).items()
            }
        except CheckpointError as error:
            messages.append(str(error))
            continue
        assert ours == {name: (e["dtype"], e["shape"], bytes(e["data"])) for name, e in deserialize(content)}
    assert messages
    assert all(str(file) in message and len(message) < 600 for message in messages)


def test_the_reference_refuses_what_we_refuse_as_damaged() -> None:
    for content in (WHOLE[:-1], WHOLE + b"\0", packed(b"[]")):
        with pytest.raises(SafetensorError):
            deserialize(content)
