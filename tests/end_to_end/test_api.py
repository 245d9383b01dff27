"""The examples in the docstrings of the public calls, as they stand there."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import exporter
from exporter import api

pytestmark = pytest.mark.end_to_end


@pytest.mark.parametrize("name", ["export", "inspect"])
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(api, name), name)
    runner = doctest.DocTestRunner()
    runner.run(example)
    assert runner.failures == 0
    assert runner.tries > 1


def test_every_public_name_is_there_and_none_loads_what_it_does_not_need() -> None:
    code = (
        "import sys, exporter\n"
        "for name in exporter.__all__: getattr(exporter, name)\n"
        "print({'tensorflow', 'transformers', 'torch', 'keras'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
    assert {
        "export",
        "inspect",
        "verify",
        "ExportOptions",
        "GenerationOptions",
        "Client",
        "AsyncClient",
    } <= set(exporter.__all__)
