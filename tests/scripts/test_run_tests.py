"""The runner behind ``scripts/test``: it names what failed and leaves nothing running."""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import FIRST, ROOT

TESTS = """
import subprocess, sys, pytest

def test_good(): pass
def test_skipped(): pytest.skip("for a reason")

@pytest.mark.parametrize("value", [1, 2])
def test_bad(value): assert value == 1

@pytest.fixture
def broken(): raise ValueError
def test_without_its_fixture(broken): pass
"""
LEAVES = """
import subprocess, sys

def test_leaves_a_process():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    print(child.pid, file=open({pid!r}, "w"))
"""


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("run_tests", ROOT / "scripts" / "run_tests.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "run_tests", module)
    spec.loader.exec_module(module)
    return module


def test_it_counts_and_names_what_failed(runner: Any, tmp_path: Path) -> None:
    file = tmp_path / "test_some.py"
    file.write_text(TESTS)
    outcome = runner._run("some", [str(file)], 120)
    assert outcome.counts == {"passed": 2, "failed": 2, "skipped": 1}
    names = [problem.rpartition("::")[2] for problem in outcome.problems]
    assert names == ["test_bad[2]", "test_without_its_fixture"]


def test_a_process_left_behind_is_ended_and_is_a_failure(runner: Any, tmp_path: Path) -> None:
    file, pid = tmp_path / "test_leaves.py", tmp_path / "pid"
    file.write_text(LEAVES.format(pid=str(pid)))
    outcome = runner._run("leaving", [str(file)], 120)
    assert outcome.counts == {"passed": 1}
    (problem,) = outcome.problems
    assert "left the process" in problem
    assert "time.sleep(600)" in problem
    process = Path("/proc") / pid.read_text().strip()
    end = time.monotonic() + 30  # a signal is not its effect
    while process.exists() and "Z" not in (process / "stat").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_that_never_ends_is_ended(runner: Any, tmp_path: Path) -> None:
    file = tmp_path / "test_long.py"
    file.write_text("import time\ndef test_long(): time.sleep(600)\n")
    outcome = runner._run("long", [str(file)], 4)
    assert any("ended after" in problem for problem in outcome.problems)


def test_too_little_disk_is_said_before_anything_fails_by_it(
    runner: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_400_000_000))
    monkeypatch.setattr(runner, "_run", lambda *arguments: pytest.fail("a run has begun"))
    assert runner.main(["beam"]) == 1
    assert "has 1.4 GB of free disk, the tests need 2 " in capsys.readouterr().out


def test_every_room_is_in_exactly_one_group(runner: Any) -> None:
    rooms = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    named = [
        Path(path).name for paths in runner.GROUPS.values() for path in paths if path.startswith("tests")
    ]
    assert set(runner.ROOMS) <= rooms
    assert sorted(named) == sorted([*runner.ROOMS, "tests"])


def test_what_begins_first_is_there() -> None:
    assert [name for name in FIRST if not (ROOT / "tests" / name).is_file()] == []


def test_every_tier_is_offered(runner: Any) -> None:
    """By its name, with what it does; ``--smoke`` runs no pytest."""
    offered = re.findall(r"(?m)^    --(\w+)\) does=", (ROOT / "scripts" / "test").read_text())
    assert sorted([*offered, "quick"]) == sorted([*runner.TIERS, "smoke"])
    assert runner.TIERS["kit"].options == ["--kit"]  # what needs jax is skipped without it


def test_published_models_are_a_tier_of_their_own(runner: Any) -> None:
    with_them = {
        name
        for name, tier in runner.TIERS.items()
        for chosen in tier.groups.values()
        if "tests/real" in chosen or ("tests" in chosen and "--ignore=tests/real" not in chosen)
    }
    assert with_them == {"real"}
