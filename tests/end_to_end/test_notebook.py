"""docs/notebooks/tour.ipynb runs, and prints what it shows."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")


def _free_ports() -> tuple[str, str]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return str(first.getsockname()[1]), str(second.getsockname()[1])


@pytest.mark.full
def test_the_tour(tmp_path: Path) -> None:
    from scripts.make_notebook import TOUR, executed, printed

    notebook = nbformat.read(TOUR, as_version=4)
    shown = printed(notebook)
    rest, grpc = _free_ports()
    for cell in notebook.cells:
        cell.source = cell.source.replace("8501", rest).replace("8500", grpc)
    found = printed(executed(notebook, tmp_path))
    assert found == shown
    assert sum(map(bool, found)) >= 9


def test_its_links_lead_somewhere() -> None:
    from scripts.make_notebook import TOUR

    cells = nbformat.read(TOUR, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\((?!https?://)([^)#\s]+)", text)
    assert len(targets) >= 5
    for target in targets:
        assert (TOUR.parent / target).exists(), target
