"""The tests behind ``scripts/test``, in groups of one pytest run each; the last lines name every failed test.

Exit code 0 only if every group passed within its tier's time and left no process behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent

# XLA keeps every program that a process has compiled, in memory mappings of which Linux grants 65,530 to a
# process: no test process lives through the whole suite.
ROOMS = ("families", "encoder_decoder", "generation", "model", "end_to_end", "prompts")
#: Test by test: one file is most of a room, and what its tests share is cheap to build twice. Elsewhere the
#: tests of a file stay in one process with what they exported.
SPREAD = ("--dist", "load")
GROUPS: dict[str, list[str]] = {
    "families, encoder_decoder": ["tests/families", "tests/encoder_decoder", *SPREAD],
    "generation, model": ["tests/generation", "tests/model"],
    "end_to_end, prompts": ["tests/end_to_end", "tests/prompts"],
    "the other rooms": ["tests", *(f"--ignore=tests/{room}" for room in (*ROOMS, "real"))],
}
#: What must work on the lowest versions too.
LOWEST = [
    "tests/demo/test_demo_path.py",
    "tests/cli",
    "tests/scripts",
    "tests/saved_model",
    "tests/serving_configs/test_render.py",
    "tests/tokenizer/test_nodes.py",
    "tests/end_to_end/test_command_line.py",
    "tests/end_to_end/test_isolation.py",
]


#: Bytes of the temporary folder that a run may take; it gives them back when it ends.
DISK = 2 * 1000**3


@dataclass(frozen=True)
class Tier:
    """What a run of ``scripts/test`` does.

    Attributes:
      groups: pytest arguments of each run, by name.
      minutes: what a run may take on two idle cores; one that takes three times as long is ended as failed.
      options: for pytest.
    """

    groups: dict[str, list[str]]
    minutes: int
    options: list[str] = field(default_factory=list)


TIERS = {
    "quick": Tier(GROUPS, 45),
    "full": Tier(GROUPS, 240, ["--full"]),
    "load": Tier({"load": ["tests/preview/test_load.py"]}, 8, ["--load"]),
    "beam": Tier({"batch": ["tests/batch"]}, 3),
    "kit": Tier({"GPU kit": ["tests/benchmarks/test_gpu_kit_rehearsal.py"]}, 8, ["--kit"]),
    "lowest": Tier({"lowest versions": LOWEST}, 5),
    # -rA: shows what the tests that pass print, which is how near each answer was.
    "real": Tier({"real models": ["tests/real"]}, 25, ["-rA"]),
}


@dataclass(frozen=True)
class Outcome:
    """One pytest run."""

    group: str
    counts: dict[str, int]
    seconds: float
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.group}: {_line(self.counts)} in {self.seconds:.0f} s"


def main(arguments: list[str]) -> int:
    """``run_tests.py TIER [PYTEST ARGUMENTS]``."""
    name, *rest = arguments
    tier = TIERS[name]
    groups = {"the tests named": []} if _names_tests(rest) else tier.groups
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < DISK:
        print(
            f"error: {tempfile.gettempdir()} has {free / 1000**3:.1f} GB of free disk, the tests need "
            f"{DISK / 1000**3:g} (TMPDIR names another folder)"
        )
        return 1
    data = os.environ.get("GENSERVE_TEST_DATA")
    print(
        f"== tests: the {name} tier, {len(groups)} {'run' if len(groups) == 1 else 'runs'} of pytest"
        + ("" if _names_tests(rest) else f", about {tier.minutes} minutes on two idle cores")
    )
    print(
        f"   published tokenizers from {data}"
        if data
        else "   comparisons with published tokenizers are skipped: scripts/fetch_test_data DIR gets them, "
        "GENSERVE_TEST_DATA=DIR names them"
    )
    outcomes = [
        _run(group, [*chosen, *tier.options, *rest], tier.minutes * 180) for group, chosen in groups.items()
    ]
    print("\n== tests", *outcomes, sep="\n")
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    print(*(f"FAILED {problem}" for problem in problems), sep="\n", end="\n" if problems else "")
    print(f"total: {_line(sum((Counter(outcome.counts) for outcome in outcomes), Counter()))}")
    return int(bool(problems))


def _line(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts.get(state, 0)} {state}" for state in ("passed", "failed", "skipped"))


def _names_tests(arguments: list[str]) -> bool:
    return any((ROOT / argument.split("::")[0]).exists() for argument in arguments)


def _run(group: str, arguments: list[str], seconds: float) -> Outcome:
    """Runs pytest on two processes; what it printed is shown as it comes."""
    mark = uuid.uuid4().hex
    # Two test processes on two cores: each keeps to one, or their thread pools get in each other's way.
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="genserve-tests-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-n", "2", f"--junitxml={report}"]
        command += ["--dist", "loadfile", "--no-loadscope-reorder"]  # in the order of tests/conftest.py
        started = time.monotonic()
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            env={**os.environ, **threads, "TMPDIR": folder, "GENSERVE_TEST_RUN": mark},
        )
        problems = []
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
            problems.append(f"{group}: ended after {seconds / 60:.0f} minutes")
        left = list(_left_behind(mark))
        counts, failed = _counts(report)
    # 5: the arguments leave no test of this group.
    if code not in (0, 5) and not failed and not problems:
        problems.append(f"{group}: pytest ended with exit code {code}")
    if not problems:
        problems += [f"{group}: left the process {command!r} behind" for command in left]
    return Outcome(group, counts, time.monotonic() - started, (*failed, *problems))


def _left_behind(mark: str) -> Iterator[str]:
    """Ends every process that was started by the run and still lives; yields their command lines."""
    for entry in Path("/proc").glob("[0-9]*") if Path("/proc").is_dir() else ():
        try:
            if f"GENSERVE_TEST_RUN={mark}".encode() in (entry / "environ").read_bytes():
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                os.kill(int(entry.name), signal.SIGKILL)
                yield command.strip()
        except OSError:  # it has just ended, or is another user's
            continue


def _counts(report: Path) -> tuple[Counter[str], tuple[str, ...]]:
    """How many tests passed, failed and were skipped, and which failed or could not be set up."""
    counted: Counter[str] = Counter()
    failed = []
    for case in ElementTree.parse(report).iter("testcase") if report.is_file() else ():
        states = {"failure": "failed", "error": "failed", "skipped": "skipped"}
        state = next((states[child.tag] for child in case if child.tag in states), "passed")
        counted[state] += 1
        if state == "failed":
            failed.append(f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}")
    return counted, tuple(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
