"""The options of runners that docs/batch.md lists are those that Beam's own classes take."""

from __future__ import annotations

import argparse
import re

import pytest

pytest.importorskip("apache_beam", reason="scripts/test --beam")
from apache_beam.options import pipeline_options as options

from tests.conftest import ROOT
from tests.docs.markdown import commands

DOCUMENT = ROOT / "docs" / "batch.md"
ROWS = re.findall(r"(?m)^\| `--(\w+)` \| ([\w ]+) \| (.+?) \| .+ \|$", DOCUMENT.read_text())
CLASSES = {
    "every cluster": options.PortableOptions,
    "Flink": options.FlinkRunnerOptions,
    "Spark": options.SparkRunnerOptions,
    "a job server of Beam": options.JobServerOptions,
}


def actions(group: type) -> dict[str, argparse.Action]:
    """The options that a class of Beam's adds, by name."""
    parser = argparse.ArgumentParser()
    group._add_argparse_args(parser)  # type: ignore[attr-defined]
    return {name.removeprefix("--"): action for action in parser._actions for name in action.option_strings}


@pytest.mark.parametrize(("name", "of", "default"), ROWS, ids=[row[0] for row in ROWS])
def test_an_option_is_beams_and_has_its_default(name: str, of: str, default: str) -> None:
    action = actions(CLASSES[of])[name]
    if default == "the newest it knows":
        assert action.choices
        assert action.default == list(action.choices)[-1]
    elif default == "none":
        assert action.default in (None, False)
    else:
        assert default == f"`{action.default}`"


def test_every_option_of_flink_and_spark_has_a_row() -> None:
    for of in ("Flink", "Spark"):
        known = {name for name in actions(CLASSES[of]) if name not in ("h", "-h", "help")}
        assert {name for name, group, _ in ROWS if group == of} == known


def test_flags_of_the_examples_are_understood() -> None:
    """By the options of the runner that each names; Beam passes over what it does not know."""
    examples = [words for words in commands(DOCUMENT) if any(word.startswith("--beam=") for word in words)]
    assert len(examples) >= 3
    for words in examples:
        flags = [word.removeprefix("--beam=") for word in words if word.startswith("--beam=")]
        every = options.PipelineOptions(flags).get_all_options()
        for flag in flags:
            name, _, value = flag.removeprefix("--").partition("=")
            assert value in str(every[name]), flag
