"""A plan's bytes against those that exported versions really keep."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.capacity.memory import bucket_of
from exporter.capacity.subject import of_plan, of_version
from exporter.exporting.pipeline import ExportResult, export
from exporter.exporting.plan import plan_export
from exporter.options import make_options
from exporter.verification.hlo import write_hlo
from tests.families import reference
from tests.families.cases import BY_TYPE

pytestmark = pytest.mark.end_to_end

#: Windows are shorter than the longer bucket, and than what is generated.
SMALL: dict[str, Any] = {
    "max_new_tokens": 11,
    "prompt_lengths": [6, 16],
    "batch_sizes": [2],
    "verify": "none",
}
#: What is exported -> its model (of a family's first case where it is none of the demos) and options.
WAYS: dict[str, dict[str, Any]] = {
    "beams": {"model": "demo:stories", "signatures": {"beams": {"num_beams": 3}}},
    "bfloat16": {"model": "demo:stories", "dtype": "bfloat16"},
    "int8": {"model": "demo:stories", "weights": "int8"},
    # The tokenizer's scores would be variables too.
    "encoder-decoder": {"model": "demo:translate", "tokenizer": "none"},
    "window": {"model": "mistral"},
    "latent": {"model": "minicpm3"},
    "state": {"model": "qwen3_5_text"},
}
#: Those whose loop carries nothing of three dimensions but keys and values, and those once: of bfloat16,
#: XLA:CPU carries float32 too. ``tests/exporting/test_cache_bytes.py`` has the others' in the graph.
LOOPS = ("beams", "int8", "window")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ExportResult]:
    """Exports once what a test of this file asks for."""
    done: dict[str, ExportResult] = {}

    def get(way: str) -> ExportResult:
        if way not in done:
            folder = tmp_path_factory.mktemp("version")
            values = {**SMALL, **WAYS[way]}
            if family := BY_TYPE.get(values["model"]):
                saved = reference.save(reference.build(family, family.cases[0]), folder / "checkpoint")
                ends = {"eos_token_id": None, "bos_token_id": None, "pad_token_id": 0}
                reference.edit_config(saved, ends)
                (saved / "generation_config.json").unlink(missing_ok=True)
                values |= {"model": str(saved), "name": "tiny", "tokenizer": "none"}
            done[way] = export(make_options(values), folder / "out")
        return done[way]

    return get


@pytest.fixture
def exported(request: pytest.FixtureRequest, exports: Callable[[str], ExportResult]) -> ExportResult:
    return exports(request.param)


def stored_bytes(version: Path) -> int:
    """Of the variables that hold weights: numbers, and what was made of them in int8."""
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    kinds = reader.get_variable_to_dtype_map()
    return sum(
        int(np.prod(shape)) * kinds[name].size
        for name, shape in reader.get_variable_to_shape_map().items()
        if kinds[name].is_floating or kinds[name] == tf.int8
    )


def test_weights_are_those_of_the_versions_variables(stories: ExportResult) -> None:
    assert of_version(stories.manifest).weights_bytes == stored_bytes(stories.directory)


@pytest.mark.full
@pytest.mark.parametrize("exported", WAYS, indirect=True)
def test_weights_of_other_models_are_theirs(exported: ExportResult) -> None:
    assert of_version(exported.manifest).weights_bytes == stored_bytes(exported.directory)


def test_before_and_after_the_export_the_sums_are_the_same(stories: ExportResult, tmp_path: Path) -> None:
    values = {"max_new_tokens": 16, "prompt_lengths": [16, 48], "batch_sizes": [1, 4]}
    planned = of_plan(plan_export(make_options({"model": "demo:stories", **values}), tmp_path))
    exported = of_version(stories.manifest)
    assert planned.weights_bytes == exported.weights_bytes
    assert planned.row_bytes == exported.row_bytes
    assert exported.scaled == frozenset()
    assert exported.scaled == frozenset()


#: In HLO: the arrays of three dimensions (rows and heads, tokens, head size) that a loop carries.
_KEPT = re.compile(r"f32\[(\d+),(\d+),(\d+)\]")


def carried_bytes(hlo: str) -> int:
    """Of the loop that carries most."""
    loops = [line.split(" while(")[0] for line in hlo.splitlines() if " while(" in line]
    return max(4 * sum(math.prod(map(int, shape)) for shape in _KEPT.findall(loop)) for loop in loops)


@pytest.mark.full
def test_keys_and_values_are_what_the_compiled_loop_carries(stories: ExportResult, tmp_path: Path) -> None:
    _check_loops(stories, tmp_path, 4)


@pytest.mark.full
@pytest.mark.parametrize("exported", LOOPS, indirect=True)
def test_those_of_other_models_too(exported: ExportResult, tmp_path: Path) -> None:
    _check_loops(exported, tmp_path, 2)


def _check_loops(exported: ExportResult, folder: Path, buckets: int) -> None:
    """In each bucket, of the program that keeps most."""
    subject, most = of_version(exported.manifest), {}
    for file in write_hlo(exported.directory, folder):
        if file.stage == "optimized" and file.program == "generation":
            bucket = (file.batch_size, file.prompt_length)
            most[bucket] = max(most.get(bucket, 0), carried_bytes(file.path.read_text()))
    assert len(most) == buckets
    assert most == {bucket: bucket_of(subject, *bucket).cache_bytes for bucket in most}
