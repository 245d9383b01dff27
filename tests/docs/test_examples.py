"""What documents show works: commands are those of the command line, job files are read, Python compiles."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from exporter.deployment import serving_options
from exporter.options import make_job
from tests.cli.parsing import parse
from tests.conftest import ROOT
from tests.docs.markdown import DOCUMENTS, blocks, commands

pytestmark = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT))
)


def test_commands_are_those_of_the_command_line(document: Path) -> None:
    """Parsed with every flag; nothing is run."""
    for verb, *arguments in commands(document):
        # A word in capitals stands for others, and so do three dots.
        if not verb.startswith("-") and verb not in ("VERB", "help") and "--help" not in arguments:
            parse([verb, *(word for word in arguments if word != "...")])


def test_yaml_is_a_job_or_serving_options(document: Path, tmp_path: Path) -> None:
    for block in blocks(document):
        if block.language != "yaml":
            continue
        content = yaml.safe_load(block.text)
        if "models" in content:
            make_job({"output": str(tmp_path), **content}, None, {}, document.name)
        else:
            _check_serving_options(content)


def _check_serving_options(content: dict[str, Any]) -> None:
    """As ``genserve config --options`` checks them, with key and certificates for the files' names."""
    ssl = {
        key: "-----BEGIN" if isinstance(value, str) else value
        for key, value in content.get("ssl", {}).items()
    }
    serving_options(content | ({"ssl": ssl} if ssl else {}), [])


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
