"""The documentation's site builds without a warning: every page is in it, every link leads somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.options import ExportOptions
from exporter.symptoms import SYMPTOMS
from scripts.docs_site import commands, documents
from tests.conftest import ROOT
from tests.doctor.test_messages import SEEN

pytest.importorskip("mkdocs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as the workflow does: a warning, such as a link that leads nowhere, is an error."""
    target: Path = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return target


@pytest.fixture(scope="module")
def searched(site: Path) -> dict[str, str]:
    """What the search looks through: place -> text."""
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    return {entry["location"]: f"{entry['title']} {entry['text']}" for entry in index["docs"]}


def test_every_verb_has_its_flags(searched: dict[str, str]) -> None:
    for verb, function in commands.verbs().items():
        text = searched[f"reference/cli/#genserve-{verb}"]
        for parameter in commands.parameters(function):
            assert all(name in text for name in re.findall(r"[-\w.]+", parameter.names))


def test_every_export_option_is_explained(searched: dict[str, str]) -> None:
    text = searched["reference/export-options/"]
    assert all(f"{name}" in text for name in ExportOptions.model_fields)


def test_every_type_of_the_manifest_is_there(searched: dict[str, str]) -> None:
    assert {"reference/manifest/#goldenanswer", "reference/manifest/#programinfo"} <= set(searched)


def test_python_is_documented(searched: dict[str, str]) -> None:
    for name in (
        "api.export",
        "client.blocking.Client",
        "client.blocking.Client.resume",
        "chat.template.ChatTemplate",
    ):
        assert len(searched[f"reference/python/#exporter.{name}"]) > 100


def test_messages_are_found_by_their_words(searched: dict[str, str]) -> None:
    page = " ".join(text for place, text in searched.items() if place.startswith("troubleshooting/"))
    for symptom in SYMPTOMS:
        assert symptom.mend.split(":")[0].replace("<", "&lt;") in page
    for message in (
        "Task size 9 is larger than maximum input batch size 8",
        "is a Git LFS pointer",
        "access is gated",
    ):
        assert message in page
    assert set(SEEN) == {symptom.id for symptom in SYMPTOMS}


def test_documents_at_the_root_are_pages(searched: dict[str, str]) -> None:
    assert {"", "tour/", "security/", "contributing/", "changelog/"} <= set(searched)
    assert "genserve serve models" in " ".join(
        text for place, text in searched.items() if place.startswith("tour/")
    )


@pytest.mark.parametrize(
    ("source", "link", "expected"),
    [
        ("README.md", "docs/concepts/parity.md#margins", "concepts/parity.md#margins"),
        ("README.md", "SECURITY.md", "security.md"),
        ("SECURITY.md", "docs/deploying.md", "deploying.md"),
        ("docs/how-to/lora.md", "../formats.md", "../formats.md"),
        ("docs/concepts/row-errors.md", "../../SECURITY.md", "../security.md"),
        ("docs/clients.md", "chat.md", "chat.md"),
        ("docs/clients.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("docs/clients.md", "#errors", "#errors"),
    ],
)
def test_links_lead_to_the_same_document(source: str, link: str, expected: str) -> None:
    assert documents.linked(f"[a]({link})", source) == f"[a]({expected})"


def test_every_page_has_one_place_in_the_navigation() -> None:
    pages = re.findall(r"(?m)^ +- .*: ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert len(pages) > 40
    assert [page for page in set(pages) if pages.count(page) > 1] == []
