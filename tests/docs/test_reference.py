"""The reference is complete: what the code takes stands in the pages made of it, or is compared."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from exporter.manifest import SCHEMA_PATH
from exporter.options import ExportOptions
from scripts.docs_site import commands, export_options, manifest, tables
from serving_configs import ServingOptions
from tests.conftest import ROOT


def _rows(page: str) -> dict[str, list[str]]:
    """First cell -> the others, of every table of a page."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {line[0]: line[1:] for line in lines}


def test_every_flag_of_an_export_has_a_row() -> None:
    rows = _rows(commands.page())
    assert rows["`--dtype`"][0] == "`auto`, `float32`, `bfloat16`, `float16`"
    assert rows["`--generation`, `-g`"] == [
        "text, repeatable",
        "",
        "A generation option, KEY=VALUE; repeatable.",
    ]
    assert rows["`--special-tokens-in-text / --no-special-tokens-in-text`"]
    assert rows["`--rest-port`"][0] == "whole number"
    assert rows["`MODEL`"]


def test_every_verb_has_a_section() -> None:
    page = commands.page()
    help_text = subprocess.run(
        [sys.executable, "-m", "exporter", "--help"], capture_output=True, text=True, check=True
    ).stdout
    listed = re.findall(r"(?m)^  ([a-z-]+) ", help_text.split("Commands:")[1])
    assert listed == list(commands.verbs()) == re.findall(r"(?m)^## `genserve ([a-z-]+)`$", page)


def test_every_export_option_has_its_default_and_flag() -> None:
    rows = _rows(export_options.page())
    assert list(rows) == [f"`{name}`" for name in ExportOptions.model_fields]
    assert rows["`batch_sizes`"][:3] == ["list of integer", "`[1, 8]`", "`--batch-sizes`"]
    assert rows["`chat_variables`"][:3] == ["mapping", "`{}`", "`--chat-variable`"]
    assert rows["`model`"][1] == ""
    assert rows["`max_prompt_length`"][3] == rows["`pad_to_multiple_of`"][3], "one entry for both"
    assert all(row[3] for row in rows.values())


def test_every_field_of_the_manifest_has_a_row() -> None:
    page, schema = manifest.page(), json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    for name, part in {"": schema, **schema["$defs"]}.items():
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0] if name else page.split("\n## ")[0]
        assert list(_rows(section)) == [f"`{field}`" for field in part["properties"]]
    assert "[GoldenAnswer](#goldenanswer)" in page


def test_attributes_of_docstrings() -> None:
    text = "A thing.\n\nAttributes:\n  a, b: two of\n    them, ``x``.\n  c: one: this.\n\nMore.\n"
    assert tables.attributes(text) == (
        "A thing.",
        {"a": "two of\n    them, `x`.", "b": "two of\n    them, `x`.", "c": "one: this."},
    )
    assert tables.attributes("A thing.") == ("A thing.", {})


def test_every_serving_option_is_documented() -> None:
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    rows = page.split("## Options")[1].split("\n## ")[0]
    named = {name for row in re.findall(r"(?m)^\| (.*?) \|", rows) for name in re.findall(r"`(\w+)`", row)}
    assert named >= set(ServingOptions.model_fields)


def test_the_pages_need_no_tensorflow() -> None:
    program = (
        "import sys; from scripts.docs_site import commands, documents, export_options, manifest; "
        "commands.page(), documents.pages(), export_options.page(), manifest.page(); "
        "assert not {'tensorflow', 'transformers', 'numpy'} & set(sys.modules), 'heavy imports'"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
