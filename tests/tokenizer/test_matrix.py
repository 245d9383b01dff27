"""docs/support-tokenizers.md: complete, and as the compiler answers today."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.tokenizer.published import FOLDERS, LAYOUTS
from tests.tokenizer.support import corpus_lines

pytestmark = pytest.mark.test_data


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("matrix", ROOT / "scripts" / "make_tokenizer_matrix.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_node_type_is_listed(script: Any) -> None:
    for section, examples in script.EXAMPLES.items():
        assert {example["type"] for _, example in examples} == script.node_types(section), section


def test_every_published_tokenizer_was_checked_and_none_differs(script: Any) -> None:
    results = json.loads(script.RESULTS.read_text(encoding="utf-8"))
    assert [row["tokenizer"] for row in results] == [*FOLDERS, *LAYOUTS]
    assert [row["tokenizer"] for row in results if row["mismatches"]] == []


def test_they_were_checked_on_the_strings_of_the_full_run(script: Any, test_data: Path) -> None:
    """A row that was measured on fewer is out of date."""
    results = json.loads(script.RESULTS.read_text(encoding="utf-8"))
    assert {row["strings"] for row in results} == {20_000 + len(corpus_lines(test_data, full=True))}


def test_every_row_was_measured_on_the_same_strings(script: Any) -> None:
    results = json.loads(script.RESULTS.read_text(encoding="utf-8"))
    assert len({row["strings"] for row in results}) == 1


def test_every_row_was_compared_with_both_versions_of_transformers(script: Any) -> None:
    """Differences are facts about the references; a row without them is not measured yet."""
    for row in json.loads(script.RESULTS.read_text(encoding="utf-8")):
        assert set(row["references"]) == {"strings", "transformers 5", "transformers 4.57"}, row["tokenizer"]


def test_the_document_is_up_to_date(script: Any) -> None:
    assert script.TARGET.read_text(encoding="utf-8") == script.render(), f"run {script.COMMAND}"
