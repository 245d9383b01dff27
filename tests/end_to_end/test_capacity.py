"""A plan's bytes against those that the exported version really keeps."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from exporter.capacity.memory import bucket_of
from exporter.capacity.subject import of_plan, of_version
from exporter.exporting.pipeline import ExportResult
from exporter.exporting.plan import plan_export
from exporter.options import make_options
from exporter.verification.hlo import write_hlo

pytestmark = pytest.mark.end_to_end


def test_weights_are_those_of_the_versions_variables(stories: ExportResult) -> None:
    reader = tf.train.load_checkpoint(str(stories.directory / "variables" / "variables"))
    kinds = reader.get_variable_to_dtype_map()
    stored = sum(
        int(np.prod(shape)) * kinds[name].size
        for name, shape in reader.get_variable_to_shape_map().items()
        if kinds[name].is_floating
    )
    assert of_version(stories.manifest).weights_bytes == stored


def test_before_and_after_the_export_the_sums_are_the_same(stories: ExportResult, tmp_path: Path) -> None:
    values = {"max_new_tokens": 16, "prompt_lengths": [16, 48], "batch_sizes": [1, 4]}
    planned = of_plan(plan_export(make_options({"model": "demo:stories", **values}), tmp_path))
    exported = of_version(stories.manifest)
    assert planned.weights_bytes == exported.weights_bytes
    assert planned.row_bytes == exported.row_bytes


#: In HLO: the arrays of three dimensions (rows and heads, tokens, head size) that a loop carries.
_KEPT = re.compile(r"f32\[(\d+),(\d+),(\d+)\]")


@pytest.mark.full
def test_keys_and_values_are_what_the_compiled_loop_carries(stories: ExportResult, tmp_path: Path) -> None:
    subject = of_version(stories.manifest)
    files = [file for file in write_hlo(stories.directory, tmp_path, ["tokens"]) if file.stage == "optimized"]
    assert len(files) == 4
    for file in files:
        loops = [line.split(" while(")[0] for line in file.path.read_text().splitlines() if " while(" in line]
        carried = max(4 * sum(math.prod(map(int, shape)) for shape in _KEPT.findall(loop)) for loop in loops)
        assert carried == bucket_of(subject, file.batch_size, file.prompt_length).cache_bytes
