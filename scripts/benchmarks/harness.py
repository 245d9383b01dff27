"""Runs cases on peers, each in a process of its own, and keeps one result file per peer and case.

bench/checkpoints/SHAPE/             random-weight checkpoints
bench/exports/CASE/                  genserve's SavedModel of a case
bench/work/                          converted models of peers
bench/results/PEER/CASE.json         Result; a file that is there is not measured again
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmarks.cases import SHAPES, STRATEGIES, Case
from scripts.benchmarks.checkpoints import make_checkpoint
from scripts.benchmarks.environments import python_of
from scripts.benchmarks.peers import PEERS, Peer

RUNNERS = Path(__file__).resolve().parent / "runners"
JOB_SECONDS = 3600.0


class RunFailedError(Exception):
    """A runner or an export stopped with an error; the message is the end of what it said."""


@dataclass(frozen=True)
class Settings:
    """How a run measures: threads, and calls that are not and that are counted."""

    threads: int = 2
    warmup: int = 2
    trials: int = 5


@dataclass(frozen=True)
class Result:
    """One measurement.

    Attributes:
      seconds: of every counted call.
      bandwidth: bytes per second that memory could be read at, after every counted call.
      tokens: generated tokens per call.
      load_seconds, first_seconds: reading (and converting) the model; the first call, with compilation.
      export_seconds, graph_bytes: of the artifact; None for peers.
      tokenizer_seconds: encoding the prompts and decoding the answers alone; None for cases of ids.
      versions: of the peer's packages.
      settings: what it was measured with.
    """

    seconds: list[float]
    bandwidth: list[float]
    tokens: int
    load_seconds: float
    first_seconds: float
    export_seconds: float | None
    graph_bytes: int | None
    versions: dict[str, str]
    settings: dict[str, int]
    tokenizer_seconds: float | None = None

    @property
    def tokens_per_second(self) -> float:
        """From the median call."""
        return self.tokens / statistics.median(self.seconds)


@dataclass(frozen=True)
class Bench:
    """A benchmark directory.

    Attributes:
      root: holds checkpoints, exports and results.
      environments: holds the peers' ``.venv-bench-*``.
    """

    root: Path
    environments: Path
    settings: Settings

    def result_path(self, peer: str, case: Case) -> Path:
        """Where a result lies or will lie."""
        return self.root / "results" / peer / f"{case.name}.json"

    def result(self, peer: str, case: Case) -> Result | None:
        """A stored result, or None."""
        path = self.result_path(peer, case)
        return Result(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def days(self, cases: Sequence[Case]) -> list[str]:
        """The days on which results of these cases were stored, the first one first."""
        paths = [self.result_path(peer, case) for case in cases for peer in PEERS]
        stored = [path.stat().st_mtime for path in paths if path.exists()]
        return sorted({datetime.fromtimestamp(seconds, UTC).date().isoformat() for seconds in stored})

    def measure(self, name: str, case: Case) -> Result:
        """Measures a case on a peer and stores the result.

        Raises:
          RunFailedError: the export or the runner failed; nothing is stored.
        """
        peer = PEERS[name]
        python = python_of(peer.environment, self.environments)
        try:
            checkpoint = make_checkpoint(
                SHAPES[case.shape], _directory(self.root / "checkpoints") / case.shape
            )
        except FileNotFoundError as error:
            raise RunFailedError(str(error)) from error
        artifact, export_seconds = self._artifact(case, checkpoint) if name == "genserve" else (None, None)
        answer = self._run(python, peer, self._job(peer, case, checkpoint, artifact))
        result = Result(
            **answer,
            tokens=case.tokens,
            export_seconds=export_seconds,
            graph_bytes=(artifact / "saved_model.pb").stat().st_size if artifact else None,
            settings=asdict(self.settings),
        )
        path = self.result_path(name, case)
        _directory(path.parent)
        path.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")
        return result

    def _job(self, peer: Peer, case: Case, checkpoint: Path, artifact: Path | None) -> dict[str, Any]:
        vocab_size = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
        prompts = np.random.default_rng(0).integers(3, vocab_size - 1, [case.batch, case.prompt])
        return {
            "checkpoint": str(checkpoint),
            "artifact": str(artifact) if artifact else None,
            "kind": SHAPES[case.shape].kind,
            "variant": peer.variant,
            "options": STRATEGIES[case.strategy],
            "prompts": prompts.tolist(),
            "new_tokens": case.new_tokens,
            "text": case.text,
            "work": str(_directory(self.root / "work")),
            **asdict(self.settings),
        }

    def _run(self, python: Path, peer: Peer, job: dict[str, Any]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            asked, answered = Path(folder) / "job.json", Path(folder) / "result.json"
            asked.write_text(json.dumps(job))
            call(
                [str(python), str(RUNNERS / f"{peer.runner}.py"), str(asked), str(answered)],
                self.settings.threads,
            )
            answer: dict[str, Any] = json.loads(answered.read_text())
            return answer

    def _artifact(self, case: Case, checkpoint: Path) -> tuple[Path, float]:
        """Exports a case's SavedModel with the command a user would type; the seconds count from there."""
        output = self.root / "exports" / case.name
        shutil.rmtree(output, ignore_errors=True)
        options = [
            f"--generation={key}={json.dumps(value)}" for key, value in STRATEGIES[case.strategy].items()
        ]
        started = time.perf_counter()
        tokenizer = [] if case.text else ["--tokenizer", "none"]
        command = [
            sys.executable, "-m", "exporter", "export", str(checkpoint), str(output), "--name", "model",
            *tokenizer, "--target", "cpu", "--warmup", "none", "--batch-sizes", str(case.batch),
            "--prompt-lengths", str(case.prompt), "--max-new-tokens", str(case.new_tokens), *options,
        ]  # fmt: skip
        call(command, self.settings.threads)
        return output / "model" / "1", time.perf_counter() - started


def call(command: list[str], threads: int) -> None:
    """Runs a command without GPU or network; raises RunFailedError with the end of its output."""
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "HF_HUB_OFFLINE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=JOB_SECONDS,
    )
    if done.returncode:
        raise RunFailedError("\n".join(done.stdout.splitlines()[-15:]))


def _directory(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
