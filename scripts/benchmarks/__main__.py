"""The command behind ``scripts/benchmark``."""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import shlex
import sys
from pathlib import Path

from rich.console import Console

from scripts.benchmarks import article, report, tokenizers
from scripts.benchmarks.cases import MODEL_CASES, SEED_CASES, SMOKE_CASES, SWEEPS, TARGET_CASES, Case
from scripts.benchmarks.harness import Bench, RunFailedError, Settings
from scripts.benchmarks.machine import describe
from scripts.benchmarks.peers import PEERS

#: Verbs beside the benchmark itself -> where their ``main(arguments)`` is.
VERBS = {
    "gpu-kit": "scripts.benchmarks.gpu_kit.kit",
    "gpu-report": "scripts.benchmarks.gpu_kit.report",
}

#: What can be measured -> its cases.
_CASES = {"targets": TARGET_CASES, "article": SEED_CASES, "models": MODEL_CASES}


def main(arguments: list[str]) -> int:
    """Measures what is missing, then writes the report; 1 when a measurement failed."""
    if arguments and arguments[0] in VERBS:
        return int(importlib.import_module(VERBS[arguments[0]]).main(arguments[1:]))
    options = _parser().parse_args(arguments)
    settings = Settings(threads=options.threads, warmup=options.warmup, trials=options.trials)
    bench = Bench(options.directory, options.environments, settings)
    jobs = [] if options.report_only else _jobs(options)
    failed = _measure(bench, jobs)
    if not options.smoke:
        facts = {**_when(bench, options, arguments), **describe()}
        if options.what == "targets":
            path = options.report or Path("docs/performance.md")
            report.write(bench, path, facts, _tokenizers(bench.root))
        else:
            write = {"article": article.write, "models": article.write_models}[options.what]
            write(bench, options.report or Path(f"docs/performance-{options.what}.md"), facts)
    return 1 if failed else 0


def _when(bench: Bench, options: argparse.Namespace, arguments: list[str]) -> dict[str, str]:
    """The command that measures, and when it did: a report may be written later, by another one."""
    words = ["scripts/benchmark", *arguments]
    if options.report_only:
        words = ["scripts/benchmark", *([] if options.what == "targets" else [options.what])]
    days = bench.days(_CASES[options.what])
    date = " to ".join(dict.fromkeys(days[:1] + days[-1:]))
    return {"command": shlex.join(words), "date": date or "nothing measured yet"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/benchmark", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=tuple(_CASES), default="targets",
        help="targets: genserve beside its peers; article: what the article genserve starts from compares; "
        "models: published and newer models beside PyTorch",
    )  # fmt: skip
    parser.add_argument("--peers", default="*", help="patterns joined by commas, such as 'genserve,tf-*'")
    parser.add_argument("--cases", default="*", help="patterns of case names, such as '*.greedy.*'")
    parser.add_argument("--sweeps", action="store_true", help="also what the charts need (genserve alone)")
    parser.add_argument("--again", action="store_true", help="measure anew what has a result already")
    parser.add_argument("--smoke", action="store_true", help="tiny shapes: only shows that runners run")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write the report")
    parser.add_argument("--threads", type=int, default=Settings.threads)
    parser.add_argument("--warmup", type=int, default=Settings.warmup)
    parser.add_argument("--trials", type=int, default=Settings.trials)
    parser.add_argument("--directory", type=Path, default=Path("bench"), help="checkpoints and results")
    parser.add_argument("--environments", type=Path, default=Path(), help="where .venv-bench-* are made")
    parser.add_argument(
        "--report", type=Path, help="docs/performance.md, performance-article.md or performance-models.md"
    )
    return parser


def _jobs(options: argparse.Namespace) -> list[tuple[str, Case]]:
    """(peer, case) in the order of the cases, so that a case's peers are measured close together."""
    cases = SMOKE_CASES if options.smoke else _CASES[options.what]
    jobs = [(name, case) for case in cases for name, peer in PEERS.items() if peer.can(case)]
    if options.sweeps:
        jobs += [("genserve", case) for sweep in SWEEPS.values() for case in sweep]
    jobs = [
        (peer, case)
        for peer, case in dict.fromkeys(jobs)
        if _matches(peer, options.peers) and _matches(case.name, options.cases)
    ]
    if options.again:
        return jobs
    bench = Bench(options.directory, options.environments, Settings())
    return [(peer, case) for peer, case in jobs if bench.result(peer, case) is None]


def _tokenizers(root: Path) -> list[str]:
    """What ``scripts/benchmark tokenizers`` has found, if it has run."""
    found = tokenizers.rows(root)
    tables = (tokenizers.speed_table(found), tokenizers.hostile_table(found))
    return ["\n".join(["## Tokenizers\n", *tables])] if found else []


def _matches(name: str, patterns: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns.split(","))


def _measure(bench: Bench, jobs: list[tuple[str, Case]]) -> list[str]:
    """Runs the jobs with a line for each; returns the names of those that failed."""
    console = Console(highlight=False)
    failed = []
    for number, (peer, case) in enumerate(jobs, 1):
        label = f"[{number}/{len(jobs)}] {peer}: {case.name}"
        try:
            with console.status(label):
                result = bench.measure(peer, case)
        except RunFailedError as error:
            failed.append(f"{peer}: {case.name}")
            console.print(f"{label}: FAILED\n{error}", markup=False)
        else:
            console.print(f"{label}: {result.tokens_per_second:.1f} tokens/s", markup=False)
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
