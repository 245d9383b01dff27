"""The versions of one servable are of one source."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exporter.errors import OutputError
from exporter.publishing.origin import refuse_other_source, source_of
from tests.serving_configs.manifests import manifest


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


def test_adapters_are_sources_of_their_own(tmp_path: Path) -> None:
    """Versions of one model with two adapters are no versions of one servable."""
    servable = tmp_path / "out" / "m"
    known = manifest(name="m", version=1)
    known.model_copy(
        update={
            "model": known.model.model_copy(update={"source": "them/m"}),
            "options": {**known.options, "adapter": "them/sql"},
        }
    ).write(servable / "1")
    refuse_other_source(servable, "them/m", "them/sql")
    for adapter in (None, "them/chat"):
        with pytest.raises(OutputError, match="was exported from them/m with the adapter them/sql, and this"):
            refuse_other_source(servable, "them/m", adapter)
