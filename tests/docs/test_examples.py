"""What documents show works: commands are those of the command line, job files are read, Python compiles."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main
import yaml

from exporter.cli import app
from exporter.options import make_job
from serving_configs import ServingOptions
from tests.conftest import ROOT
from tests.docs.markdown import DOCUMENTS, blocks, commands

pytestmark = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT))
)
_VERBS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_commands_are_those_of_the_command_line(document: Path) -> None:
    """Parsed with every flag; nothing is run."""
    for verb, *arguments in commands(document):
        # A word in capitals stands for others, and so do three dots.
        if not verb.startswith("-") and verb not in ("VERB", "help") and "--help" not in arguments:
            assert verb in _VERBS, f"genserve {verb}"
            _VERBS[verb].make_context(verb, [word for word in arguments if word != "..."])


def test_yaml_is_a_job_or_serving_options(document: Path, tmp_path: Path) -> None:
    for block in blocks(document):
        if block.language != "yaml":
            continue
        content = yaml.safe_load(block.text)
        if "models" in content:
            make_job({"output": str(tmp_path), **content}, None, {}, document.name)
        else:
            assert content.keys() <= ServingOptions.model_fields.keys()


def test_python_is_python(document: Path) -> None:
    for block in blocks(document):
        if block.language == "python":
            ast.parse(block.text)


def test_links_outside_are_addresses(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for address in re.findall(r"\]\((https?:[^)]*)\)|<(https?:[^>]*)>", text):
        parts = urlsplit(next(filter(None, address)))
        assert parts.scheme == "https" or parts.hostname == "localhost", address
        assert re.fullmatch(r"[\w.-]+\.[a-z]{2,}|localhost", parts.hostname or ""), address
        assert not re.search(r"\s|\.$|,$", parts.geturl()), address
