"""One export of the demo checkpoint for all end-to-end tests of a worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.exporting.pipeline import ExportResult, export
from exporter.options import make_options


@pytest.fixture(scope="session")
def stories(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """``demo:stories`` with buckets (16, 48) x (1, 4) and warmup records, under OUT/stories/1."""
    out: Path = tmp_path_factory.mktemp("stories")
    options = make_options(
        {
            "model": "demo:stories",
            "max_new_tokens": 16,
            "prompt_lengths": [16, 48],
            "batch_sizes": [1, 4],
        }
    )
    return export(options, out)
