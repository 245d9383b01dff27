"""Rows become requests of the signature's types, or say why not."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.batch.columns import BadRowError, Columns, seed_of, typed
from exporter.batch.job import Job
from exporter.batch.shards import Row
from exporter.manifest import Manifest, SignatureInfo, TensorInfo

INPUTS = {"text": "string", "temperature": "float32", "max_new_tokens": "int32", "seed": "int64"}
INFO = SignatureInfo(
    inputs={name: TensorInfo(dtype=dtype, shape=(None,)) for name, dtype in INPUTS.items()}, outputs={}
)
MANIFEST = Manifest.model_construct(generation={"temperature": 0.7, "do_sample": True}, max_new_tokens=9)


def inputs(values: dict[str, Any], **job: Any) -> dict[str, Any]:
    columns = Columns(Job("m", "generate", "out", **job), MANIFEST, INFO)
    return columns.request(columns.named(Row("file:3", values))).inputs


def test_a_column_goes_before_a_constant_before_the_exported_default() -> None:
    assert inputs({"text": "a"})["temperature"] == 0.7
    assert inputs({"text": "a"}, constants={"temperature": 0.2})["temperature"] == 0.2
    assert inputs({"text": "a", "temperature": 1}, constants={"temperature": 0.2})["temperature"] == 1.0
    assert inputs({"text": "a", "temperature": None})["temperature"] == 0.7
    assert inputs({"prompt": "ä"}, columns={"text": "prompt"})["text"] == "ä".encode()


def test_seeds_follow_from_ids_and_the_base_alone() -> None:
    seeds = [seed_of(base, name) for base in range(3) for name in ("a", "b", "a:1")]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert inputs({"text": "x"})["seed"] == seed_of(0, "file:3") == inputs({"text": "y"})["seed"]
    assert inputs({"text": "x", "key": 5}, id_column="key", seed=8)["seed"] == seed_of(8, "5")
    assert inputs({"text": "x", "seed": 4})["seed"] == 4
    assert inputs({"text": "x"}, constants={"seed": 6})["seed"] == 6


@pytest.mark.parametrize(
    ("value", "dtype", "reason"),
    [
        ("1", "int32", "int32 is needed, got '1'"),
        (True, "int32", "int32 is needed, got True"),
        (1.5, "int32", "int32 is needed"),
        (2**31, "int32", "int32 is needed"),
        (float("nan"), "int64", "int64 is needed"),
        (float("inf"), "int64", "int64 is needed"),
        ("x", "float32", "float32 is needed"),
        (3, "string", "string is needed"),
        ("\ud800", "string", "no Unicode text"),
        (1, "bool", "bool is needed"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_columns_name(value: Any, dtype: str, reason: str) -> None:
    with pytest.raises(BadRowError, match=f"^age: .*{reason}"):
        typed("age", value, dtype)


def test_missing_columns_and_strange_ids_are_reasons() -> None:
    with pytest.raises(BadRowError, match="text: the row has no such column"):
        inputs({"txt": "a"})
    with pytest.raises(BadRowError, match="key: an id is a text or a whole number"):
        inputs({"text": "a", "key": 1.5}, id_column="key")
