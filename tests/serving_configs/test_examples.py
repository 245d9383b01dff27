"""The committed examples are what the code renders now."""

from __future__ import annotations

import os

import pytest

from serving_configs.example_deployments import EXAMPLES, FOLDER, example_files


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_examples_are_up_to_date(name: str) -> None:
    """After a change, ``python -m serving_configs.example_deployments`` writes them anew."""
    folder = FOLDER / name
    committed = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert committed == example_files(name)
    assert all(os.access(path, os.X_OK) for path in folder.rglob("*.sh"))


def test_no_other_examples() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(EXAMPLES)
