"""What the verb prints, and refuses by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("apache_beam", reason="scripts/test --beam")
from exporter.errors import OptionError, OutputError, ServingError
from exporter.manifest import MANIFEST_PATH
from tests.batch.conftest import Run
from tests.batch.verb import records, run

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A corpus without rows, for which no version is loaded."""
    path = tmp_path / "empty.jsonl"
    path.write_text("")
    return path


def described(version: Path, folder: Path, **changed: dict[str, Any]) -> Path:
    """A folder with a version's manifest alone, some of its entries changed."""
    manifest = json.loads((version / MANIFEST_PATH).read_text())
    for name, entries in changed.items():
        manifest[name] |= entries
    (folder / MANIFEST_PATH).parent.mkdir(parents=True)
    (folder / MANIFEST_PATH).write_text(json.dumps(manifest))
    return folder


def test_the_closing_lines_count_rows_answers_and_tokens(once: Run) -> None:
    tokens = sum(answer["output"]["num_tokens"] for answer in once.answers.values())
    first, second, third = once.result.stdout.splitlines()
    assert first == f"14 rows, 11 answered, 3 not (errors-*.jsonl), {tokens} tokens generated"
    mark = json.loads((once.output / "done-00000.json").read_text())
    speeds = f"{14 / mark['seconds']:.1f} rows and {tokens / mark['seconds']:.1f} tokens a second"
    assert second == f"{speeds} of answering"
    assert third == f"{once.output}: 1 shards"


def test_progress_has_the_rows_of_finished_shards_and_both_speeds(once: Run) -> None:
    tokens = sum(answer["output"]["num_tokens"] for answer in once.answers.values())
    last = once.result.stderr.splitlines()[-1]
    assert "14/14" in last
    found = re.search(r"([\d.]+) rows/s, ([\d.]+) tokens/s", last)
    assert found
    rows_per_second, tokens_per_second = map(float, found.groups())
    assert rows_per_second > 0
    # Both are rounded to 0.1.
    assert abs(tokens_per_second - rows_per_second * tokens / 14) < 0.1 * (tokens / 14 + 1)


def test_a_run_without_a_single_answer_ends_with_an_error(version: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "rows.jsonl", tmp_path / "out"
    path.write_text('{"txt": "a"}\n{"txt": "b"}\n')
    for _ in range(2):  # the second time nothing is run
        with pytest.raises(
            ServingError, match=r"none of 2 rows was answered, .*text: the row has no"
        ) as error:
            run(path, "-o", output, "--model", version)
    assert error.value.exit_code == 7
    assert len(list(records(output, "errors"))) == 2


def test_sampling_without_a_seed_is_told(version: Path, empty: Path, tmp_path: Path) -> None:
    model = described(version, tmp_path / "m", generation={"do_sample": True})
    note = "note: serving_default draws its answers anew each time; generate takes a seed"
    assert note in run(empty, "-o", tmp_path / "a", "--model", model).stderr
    assert "note" not in run(empty, "-o", tmp_path / "b", "--model", model, "--signature", "generate").stderr
    assert "note" not in run(empty, "-o", tmp_path / "c", "--model", version).stderr


def test_a_version_in_which_a_bad_row_fails_its_batch_is_refused(
    version: Path, empty: Path, tmp_path: Path
) -> None:
    model = described(version, tmp_path / "m", options={"row_errors": "raise"})
    with pytest.raises(OptionError, match="exported with --row-errors raise"):
        run(empty, "-o", tmp_path / "out", "--model", model)


def test_what_cannot_be_a_job_is_refused_by_name(version: Path, corpus: Path, tmp_path: Path) -> None:
    common = (corpus, "-o", tmp_path / "out", "--model", version)
    with pytest.raises(OptionError, match="signature 'generat': the version has none of that name"):
        run(*common, "--signature", "generat")
    with pytest.raises(OptionError, match="input 'input_ids' holds several values"):
        run(*common, "--signature", "tokens")
    with pytest.raises(OptionError, match=r"column: .* has no input 'temprature'"):
        run(*common, "--signature", "generate", "--column", "temprature=t")
    with pytest.raises(OptionError, match=r"option: .* has no input 'temprature'"):
        run(*common, "--signature", "generate", "--option", "temprature=0.5")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    with pytest.raises(OutputError, match="holds files"):
        run(corpus, "-o", tmp_path / "other", "--model", version)
    assert (tmp_path / "other" / "mine.txt").read_text() == "x"
