"""``genserve inspect VERSION --hlo DIR``: what it refuses, and what it writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from exporter import cli
from exporter.errors import OptionError, OutputError
from exporter.manifest import ProgramInfo
from exporter.verification.hlo import write_hlo
from tests.serving_configs.manifests import manifest

PROGRAMS = (ProgramInfo(kind="generation", signatures=("tokens", "serving_default"), compilations=6),)


@pytest.mark.parametrize(
    ("changes", "signatures", "said"),
    [
        ({}, [], "names no compiled programs"),
        ({"programs": PROGRAMS, "warmup": {"records": 0}}, [], "exported with --warmup none"),
        ({"programs": PROGRAMS}, ["token"], r"'token' runs no compiled program \(did you mean 'tokens'\?\)"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], signatures: list[str], said: str) -> None:
    (manifest(**changes)).write(tmp_path)
    with pytest.raises(OptionError, match=said):
        write_hlo(tmp_path, tmp_path / "hlo", signatures)
    assert not (tmp_path / "hlo").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    manifest(programs=PROGRAMS).write(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"--hlo .*file cannot be written: File exists"):
        write_hlo(tmp_path, tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["EMPTY", "--hlo", "HLO"], "is no exported version"),
        (["OUT", "--hlo", "HLO"], "holds 2 versions: name one"),
        (["OUT", "--signature", "tokens"], "--signature goes with --hlo DIR"),
    ],
)
def test_the_verb_names_what_it_needs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    (tmp_path / "EMPTY").mkdir()
    for version in (1, 2):
        manifest(version=version).write(tmp_path / "OUT" / "stories" / str(version))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["genserve", "inspect", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == OptionError.exit_code
    assert said in capsys.readouterr().err


@pytest.mark.full
@pytest.mark.end_to_end
def test_every_bucket_has_its_text(tmp_path: Path) -> None:
    """The entry computation of each file takes tokens of the bucket that its name says."""
    from exporter.exporting.pipeline import export
    from exporter.options import make_options

    small = {"max_new_tokens": 4, "prompt_lengths": [8, 16], "batch_sizes": [1, 3], "warmup": "minimal"}
    result = export(make_options({"model": "demo:stories", **small}), tmp_path)
    files = write_hlo(result.directory, tmp_path / "hlo", ["serving_default"])
    assert {file.path for file in files} == set((tmp_path / "hlo").iterdir())
    buckets = [(length, rows) for length in (8, 16) for rows in (1, 3)]
    for stage in ("before", "optimized"):
        own = [file for file in files if file.stage == stage]
        assert [(file.prompt_length, file.batch_size) for file in own] == buckets
        for file in own:
            head = file.path.read_text()[:5000]
            assert head.startswith("HloModule ")
            assert re.search(rf"s32\[{file.batch_size},{file.prompt_length}\]", head)
    assert "serving_default" in files[0].signatures
