#!/usr/bin/env python3
"""Runs docs/notebooks/tour.ipynb and keeps what it printed; needs ports 8500 and 8501.

    python scripts/make_notebook.py

Only what cells print stays (stdout and results): neither warnings of libraries nor times.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parent.parent
TOUR = ROOT / "docs" / "notebooks" / "tour.ipynb"


def executed(notebook: Any, folder: Path, seconds: int = 600) -> Any:
    """The notebook, run in ``folder`` by this Python with this checkout; raises where a cell fails."""
    from nbclient import NotebookClient

    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=seconds, kernel_name="python3", resources=resources)
    client.execute(env=variables)
    return notebook


def printed(notebook: Any) -> list[str]:
    """What each cell of code printed, joined."""
    return [_stdout(cell) for cell in notebook.cells if cell.cell_type == "code"]


def _stdout(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


def cleaned(notebook: Any) -> Any:
    """The same run gives the same file."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata = nbformat.NotebookNode()
            text = _stdout(cell)
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)] if text else []
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    return notebook


def main() -> int:
    notebook = nbformat.read(TOUR, as_version=4)
    with tempfile.TemporaryDirectory(prefix="genserve-notebook-") as folder:
        executed(notebook, Path(folder))
    nbformat.write(cleaned(notebook), TOUR)
    return 0


if __name__ == "__main__":
    sys.exit(main())
