"""Names of the demo checkpoints."""

from __future__ import annotations

import pytest

from exporter.demo import DEMOS, demo_path
from exporter.errors import CheckpointError


@pytest.mark.parametrize("name", DEMOS)
def test_both_spellings_name_the_same_directory(name: str) -> None:
    assert demo_path(name) == demo_path(f"demo:{name}")
    assert (demo_path(name) / "config.json").is_file()


def test_unknown_name_lists_what_exists_and_guesses() -> None:
    with pytest.raises(CheckpointError, match=r"demo:storys: .*did you mean 'stories'.*demo:translate"):
        demo_path("demo:storys")


@pytest.mark.parametrize("name", ["", "..", "../demo/stories", "stories/", "/etc"])
def test_a_path_is_no_name(name: str) -> None:
    with pytest.raises(CheckpointError, match="no such demo checkpoint"):
        demo_path(name)
