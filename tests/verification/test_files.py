"""The files of a version against its manifest: whatever was done to them is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.file_hashes import written_files
from exporter.verification.checks import Check
from exporter.verification.written_files import file_checks
from tests.serving_configs.manifests import manifest

SHARD = "variables/variables.data-00000-of-00001"
FILES = {"saved_model.pb": b"graph", SHARD: b"\0" * 3_000_000, "assets/words.tsv": b"a\n"}


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version's files, with the manifest of them."""
    directory = tmp_path / "stories" / "1"
    for name, content in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    manifest().model_copy(update={"files": written_files(directory)}).write(directory)
    return directory


def checked(directory: Path) -> dict[str, Check]:
    from exporter.manifest import Manifest

    return {check.name: check for check in file_checks(directory, Manifest.read(directory))}


def test_as_written(version: Path) -> None:
    (version / "batching_params.pbtxt").write_text("max_batch_size { value: 4 }")
    found = checked(version)
    assert {check.status for check in found.values()} == {"passed"}
    assert found["files"].detail == f"3 files, {sum(map(len, FILES.values())):,} bytes, all as written"


def _one_bit(version: Path) -> None:
    with (version / SHARD).open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"\1")


def _truncated(version: Path) -> None:
    (version / SHARD).write_bytes(b"\0" * 10)


def _no_asset(version: Path) -> None:
    (version / "assets/words.tsv").unlink()


def _more(version: Path) -> None:
    (version / "assets/more.tsv").write_text("b\n")


def _dead_link(version: Path) -> None:
    (version / "saved_model.pb").unlink()
    (version / "saved_model.pb").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_one_bit, f"{SHARD} was changed"),
        (_truncated, f"{SHARD} was changed, 3,000,000 bytes then, 10 now"),
        (_no_asset, "assets/words.tsv is missing"),
        (_more, "assets/more.tsv is no file of the export"),
        (_dead_link, "saved_model.pb cannot be read: No such file or directory"),
    ],
)
def test_what_was_done_to_it(version: Path, change: Callable[[Path], None], expected: str) -> None:
    change(version)
    assert checked(version)["files"] == Check("files", "failed", expected)


def test_a_version_in_another_place(version: Path) -> None:
    other = version.parent / "7"
    shutil.copytree(version, other)
    assert checked(other)["place"].status == "failed"
    link = version.parent.parent / "link"
    link.symlink_to(version)
    assert checked(link)["place"].status == "passed"


def test_a_manifest_without_hashes(version: Path) -> None:
    (version / "variables/variables.index").touch()
    manifest().write(version)
    assert checked(version)["files"].status == "skipped"
    (version / "saved_model.pb").unlink()
    assert "saved_model.pb is missing" in checked(version)["files"].detail
