"""docs/support-tokenizers.md: complete, and as the compiler answers today."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from tests.conftest import ROOT


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


def test_no_published_tokenizer_differs(script: Any) -> None:
    results = json.loads(script.RESULTS.read_text(encoding="utf-8"))
    assert len(results) >= 20
    assert [row["tokenizer"] for row in results if row["mismatches"]] == []


def test_the_document_is_up_to_date(script: Any) -> None:
    assert script.TARGET.read_text(encoding="utf-8") == script.render(), f"run {script.COMMAND}"
