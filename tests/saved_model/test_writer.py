"""Publishing a version: all of it or nothing, also when the writer is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.errors import OutputError
from exporter.saved_model.writer import choose_version, refuse_other_source, source_of, staged_version
from tests.serving_configs.manifests import manifest


def servable_versions(servable: Path) -> list[str]:
    """What TensorFlow Serving would consider: children whose names are numbers."""
    return sorted(child.name for child in servable.iterdir() if child.name.isdecimal())


def test_versions_are_chosen_and_refused(tmp_path: Path) -> None:
    servable = tmp_path / "m"
    assert choose_version(servable, None, force=False) == 1
    for name in ("2", "10", "not-a-version"):
        (servable / name).mkdir(parents=True)
    assert choose_version(servable, None, force=False) == 11
    assert choose_version(servable, 3, force=False) == 3
    assert choose_version(servable, 10, force=True) == 10
    with pytest.raises(OutputError, match=r"version 10 exists.*--force.*next free: 11"):
        choose_version(servable, 10, force=False)


def published_from(source: str, version_directory: Path) -> None:
    manifest(name="m", version=1).model_copy(
        update={"model": manifest().model.model_copy(update={"source": source})}
    ).write(version_directory)


def test_versions_of_one_servable_are_of_one_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servable, checkpoint = tmp_path / "out" / "m", tmp_path / "m"
    checkpoint.mkdir()
    (servable / "1").mkdir(parents=True)  # no manifest: not an export of ours
    (servable / "not-a-version").mkdir()
    refuse_other_source(servable, "them/m")
    published_from("them/m", servable / "2")
    refuse_other_source(servable, "them/m")
    with pytest.raises(
        OutputError, match=r"version 2 in .*/m was exported from them/m, and this is us/m.*--name"
    ):
        refuse_other_source(servable, "us/m")
    # A directory is the same one however it is written.
    shutil.rmtree(servable / "2")
    published_from(source_of(str(checkpoint)), servable / "3")
    monkeypatch.chdir(tmp_path)
    for model in (str(checkpoint), "m", "./m/", "out/../m"):
        refuse_other_source(servable, model)
    with pytest.raises(OutputError, match="was exported from"):
        refuse_other_source(servable, "out")


def test_an_error_publishes_nothing(tmp_path: Path) -> None:
    def export() -> None:
        with staged_version(tmp_path / "m", 1) as staging:
            (staging / "saved_model.pb").write_text("half")
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        export()
    assert list((tmp_path / "m").iterdir()) == []


def test_replacing_keeps_the_old_version_until_the_new_one_is_whole(tmp_path: Path) -> None:
    servable = tmp_path / "m"
    with staged_version(servable, 1) as staging:
        (staging / "f").write_text("old")
    with staged_version(servable, 1) as staging:
        (staging / "f").write_text("new")
        assert (servable / "1" / "f").read_text() == "old"
        assert servable_versions(servable) == ["1"]
    assert (servable / "1" / "f").read_text() == "new"
    assert [child.name for child in servable.iterdir()] == ["1"]


_KILLED = """
import sys, time
from pathlib import Path
from exporter.saved_model.writer import staged_version
with staged_version(Path(sys.argv[1]), 1) as staging:
    (staging / "saved_model.pb").write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_killed_export_leaves_no_version_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    servable = tmp_path / "m"
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(servable)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert servable_versions(servable) == []
    assert len(list(servable.iterdir())) == 1
    with staged_version(servable, 1):
        pass
    assert [child.name for child in servable.iterdir()] == ["1"]


def test_a_version_moved_aside_by_a_killed_replacement_comes_back(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    aside = tmp_path / "m" / f".staging-1-{process.pid}-0123abcd-replaced"
    aside.mkdir(parents=True)
    (aside / "f").write_text("old")
    with staged_version(tmp_path / "m", 2):
        pass
    assert (tmp_path / "m" / "1" / "f").read_text() == "old"


def test_an_unwritable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"), staged_version(tmp_path / "m", 1):
        pass
