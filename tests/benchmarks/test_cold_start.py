"""The cold-start benchmark starts a real version each way and tells what TensorFlow compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmarks.cold_start import Row, cold_start, prepare, report


@pytest.mark.end_to_end
def test_every_way_reaches_ready(tmp_path: Path) -> None:
    values = {"model": "demo:stories", "prompt_lengths": [8], "batch_sizes": [1], "max_new_tokens": 2}
    version = prepare({**values, "extra_signatures": [], "verify": "none"}, tmp_path)
    assert prepare({"model": str(version)}, tmp_path / "unused") == version
    rows = {row.way: row for row in cold_start(version, cache=tmp_path / "xla-cache", trials=1)}
    # One program in one bucket; its compilation is asked for with and without the cache.
    assert {way: row.compilations for way, row in rows.items()} == {"load only": 0, "no cache": 1, "cache": 1}
    assert all(0 <= row.compiling < row.ready for row in rows.values())


def test_the_report_tells_the_factor_and_what_is_left() -> None:
    rows = [Row("load only", 1.0, 0.0, 0), Row("no cache", 12.0, 9.0, 4), Row("cache", 5.0, 3.0, 4)]
    lines = report(rows).splitlines()
    assert lines[4] == "with the cache 2.4 x faster (target: 2)"
    assert lines[5] == (
        "of its 5.00 s: loading 1.00, lowering and reading programs 3.00, the requests themselves 1.00"
    )
