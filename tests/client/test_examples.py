"""The examples in docs/clients.md and in docstrings run as they stand."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

import pytest

import exporter
from exporter.client import AsyncClient, Client
from tests.client.stubs import GrpcStub, HttpStub
from tests.client.test_row_calls import Recorded
from tests.conftest import ROOT

_TEXT = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
_PAGE = re.findall(r"^```python\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL)


def _example(documented: Any) -> str:
    """The first indented block of a docstring."""
    lines = inspect.getdoc(documented).splitlines()  # type: ignore[union-attr]
    block: list[str] = []
    for line in lines:
        if line.startswith("    ") or (block and not line):
            block.append(line)
        elif block:
            break
    return textwrap.dedent("\n".join(block))


EXAMPLES = {
    "page": (_PAGE[0], "ONCE UPON A TIME (16,) ('stop',) \nTHE FOX (7,) ('stop',) \n"),
    "page, asyncio": (_PAGE[1], "['ONCE', 'THE FOX']\n"),
    "exporter": (_example(exporter), "ONCE UPON A TIME\n"),
    "Client": (_example(Client), "ONCE UPON A TIME ('stop',)\n"),
    "AsyncClient": (_example(AsyncClient), "['ONCE', 'THE FOX']\n"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, stub: HttpStub, grpc_stub: GrpcStub, capsys: pytest.CaptureFixture[str]) -> None:
    text, expected = EXAMPLES[name]
    model = Recorded()
    stub.answer = model.http
    model.grpc(grpc_stub)
    text = text.replace("http://localhost:8501", stub.url).replace("grpc://localhost:8500", grpc_stub.url)
    exec(compile(text, name, "exec"), {"Client": Client, "AsyncClient": AsyncClient})
    assert capsys.readouterr().out == expected


def test_the_page_has_two_examples() -> None:
    assert len(_PAGE) == 2
