"""Rows of a corpus -> rows of a request: types, options per row, seeds that follow from ids."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from exporter.batch.job import Job
from exporter.batch.shards import Row
from exporter.errors import shown
from exporter.manifest import Manifest, SignatureInfo
from exporter.request_examples import row_options

_BOUNDS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


@dataclass(frozen=True)
class Request:
    """One row as the signature takes it, beside the row that it was made of."""

    row: Row
    inputs: dict[str, Any]


class BadRowError(Exception):
    """Why a row cannot be asked."""


class Columns:
    """Makes requests. An input's value: its column, the job's constant, the exported default, a seed."""

    def __init__(self, job: Job, manifest: Manifest, info: SignatureInfo) -> None:
        self._job, self._info = job, info
        defaults = {name: column[0] for name, column in row_options(manifest, info.inputs).items()}
        self._defaults: Mapping[str, Any] = defaults | dict(job.constants)

    def request(self, row: Row) -> Request:
        """The row's request.

        Raises:
          BadRowError: an unreadable row, a column that is missing or of another type.
        """
        if row.values is None:
            raise BadRowError(row.problem)
        values = row.values
        return Request(row, {name: self._value(name, values, row.id) for name in self._info.inputs})

    def named(self, row: Row) -> Row:
        """The row with the id that its column says; raises BadRowError where that is none."""
        column = self._job.id_column
        if column is None or row.values is None:
            return row
        value = row.values.get(column)
        if value is None or isinstance(value, float | list | dict):
            raise BadRowError(f"{column}: an id is a text or a whole number, got {shown(value)}")
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        return replace(row, id=text)

    def _value(self, name: str, values: Mapping[str, Any], identity: str) -> Any:
        column = self._job.columns.get(name, name)
        value = values.get(column)
        if value is not None:
            return typed(column, value, self._info.inputs[name].dtype)
        if name == "seed" and "seed" not in self._job.constants:
            return seed_of(self._job.seed, identity)
        if name not in self._defaults:
            raise BadRowError(f"{column}: the row has no such column")
        return typed(name, self._defaults[name], self._info.inputs[name].dtype)


def seed_of(base: int, identity: str) -> int:
    """A seed from 0 to 2**63 - 1 that is the row's own."""
    digest = hashlib.blake2b(f"{base}:{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def typed(name: str, value: Any, dtype: str) -> Any:
    """A value as a tensor of ``dtype`` takes it.

    Raises:
      BadRowError: it is of another type, or out of its range.
    """
    if dtype == "string" and isinstance(value, str | bytes):
        try:
            return value.encode() if isinstance(value, str) else value
        except UnicodeEncodeError as error:
            raise BadRowError(f"{name}: no Unicode text: {error.reason}") from None
    if dtype == "bool" and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype == "float32" and number:
        return float(value)
    low, high = _BOUNDS.get(dtype, (0, -1))
    if number and low <= value <= high and value == int(value):
        return int(value)
    raise BadRowError(f"{name}: {dtype} is needed, got {shown(value)}")
