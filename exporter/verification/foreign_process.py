"""What a process that is not ours finds in a version: its ops, whether it loads, and what it answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from exporter.manifest import GoldenAnswer, Manifest
from exporter.verification.agreement import Comparison, compare, summary, uncompared
from exporter.verification.checks import Check, judged
from exporter.verification.probe_requests import Request, golden_request, other_requests, variants
from exporter.xla_memory import sparing_memory
from serving_configs.served_ops import obstacles, unknown_ops

#: device_compilation_profiler.cc logs one such line per compilation at verbosity 1.
_COMPILED = re.compile(r"Compiled (\S+) \d+ times")
_PHASE = re.compile(r"^genserve: (\w+)$", re.MULTILINE)
_SCRIPT = Path(__file__).with_name("isolated.py")


@dataclass
class Found:
    """What the process said, by phase, and how often it compiled there."""

    phases: dict[str, dict[str, Any]]
    compiled: dict[str, int] = field(default_factory=dict)

    def error(self, phase: str) -> str | None:
        """Why a phase failed, or was not reached."""
        facts = self.phases.get(phase)
        return "not reached" if facts is None else facts.get("error")


def run_isolated(
    directory: Path, job: dict[str, Any], settings: Mapping[str, str] = MappingProxyType({})
) -> Found:
    """Runs ``isolated.py`` on a version, with the devices that this process has.

    Args:
      directory: the version's.
      job: what is asked; the phases in ``job["phases"]`` are run in their order.
      settings: further environment variables.
    """
    environment = (
        os.environ
        | dict(settings)
        | {
            "TF_CPP_MIN_LOG_LEVEL": "0",
            "TF_CPP_VMODULE": "device_compilation_profiler=1",
            "TF_XLA_FLAGS": "",
        }
    )
    process = subprocess.run(
        [sys.executable, "-P", str(_SCRIPT), str(directory.resolve())],
        input=json.dumps(job),
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
    )
    lines = [json.loads(line) for line in process.stdout.splitlines() if line.startswith('{"phase"')]
    found = Found({line["phase"]: line for line in lines})
    parts = _PHASE.split(process.stderr)
    found.compiled = {
        phase: len(_COMPILED.findall(text)) for phase, text in zip(parts[1::2], parts[2::2], strict=True)
    }
    if process.returncode:
        phase = (_PHASE.findall(process.stderr) or ["start"])[-1]
        said = process.stderr.strip().splitlines()[-1:] or ["no message"]
        found.phases[phase] = {"error": f"the process ended with code {process.returncode}: {said[0][:300]}"}
    return found


@dataclass(frozen=True)
class Graph:
    """The checks, and what ``encode`` answered to the sample texts (None: it was not asked)."""

    checks: tuple[Check, ...]
    encoded: dict[str, Any] | None


def graph_checks(
    directory: Path, manifest: Manifest, *, warmup: bool, texts: list[str], configured: str | None = None
) -> Graph:
    """Asks a version in a process of its own.

    Args:
      configured: the server release that the deployment names; None: it leaves the choice to us.
      warmup: whether its warmup is replayed first.
      texts: sample texts for ``encode``.
    """
    golden = list(manifest.golden)
    requests = [golden_request(answer) for answer in golden]
    for answer in golden:
        if answer.signature == "serving_default" and not any(answer.outputs.get("error", ())):
            requests += other_requests(manifest, answer, len(requests))
    sampled = len(requests) if texts else None
    if texts:
        requests.append({"signature": "encode", "inputs": {"text": texts}})
    job: dict[str, Any] = {"requests": requests, "variants": variants(manifest, golden), "warmup": warmup}
    job["phases"] = ["graph", "load", "warmup", "golden", "variants"]
    settings = sparing_memory(manifest.model.dtype, manifest.memory.weights_bytes)
    found = run_isolated(directory, job, settings)
    answers = found.phases.get("golden", {}).get("answers")
    checks = [
        *_graph(manifest, found, configured),
        _load(found),
        _compilations(manifest, found, warmup=warmup),
    ]
    checks += [
        _golden(manifest, found, answers),
        _signatures(golden, requests[len(golden) : sampled], found, (answers or [])[len(golden) : sampled]),
        _batches(golden, found),
    ]
    return Graph(tuple(checks), answers[sampled] if answers and sampled is not None else None)


def _graph(manifest: Manifest, found: Found, configured: str | None) -> list[Check]:
    error, facts = found.error("graph"), found.phases.get("graph", {})
    if error:
        return [Check("ops", "failed", f"saved_model.pb cannot be read: {error}")]
    chosen = json.dumps([manifest.options, manifest.generation], ensure_ascii=False)
    paths = [
        f"{path!r} stands in the graph" for path in facts["paths"] if json.dumps(path)[1:-1] not in chosen
    ]
    paths += [f"asset {name!r} is no file in assets/" for name in facts["assets"] if "/" in name]
    return [
        ops_check(manifest, facts["ops"], configured),
        judged("paths", paths, "none of the machine that exported"),
    ]


def ops_check(manifest: Manifest, used: list[str], configured: str | None) -> Check:
    """Whether some release has all ops of the graph, and the one that is deployed too."""
    problems = [f"{op} is in no stock TensorFlow Serving" for op in unknown_ops(used)]
    found = obstacles(used, manifest.tensorflow_version)
    able = [release for release, why in found.items() if not why]
    if not problems and not able:
        problems += [f"TensorFlow Serving {release} cannot serve it: {why}" for release, why in found.items()]
    elif not problems and configured is not None and configured not in able:
        why = found.get(configured, "it is not known")
        problems.append(
            f"OUT/serving is written for TensorFlow Serving {configured}, which cannot serve it: {why}; "
            f"genserve config OUT --serving-version {able[0]}"
        )
    return judged("ops", problems, f"{len(used)} kinds; served by TensorFlow Serving {', '.join(able)}")


def _load(found: Found) -> Check:
    error = found.error("load")
    seconds = found.phases.get("load", {}).get("seconds", 0)
    return judged("load", [error] if error else [], f"as a server loads it, in {seconds:.1f} s")


def _compilations(manifest: Manifest, found: Found, *, warmup: bool) -> Check:
    name, error = "compilations", found.error("warmup")
    if error:
        return Check(name, "failed", f"warmup: {error}")
    if not warmup or not manifest.warmup.records:
        why = "the warmup was not replayed" if manifest.warmup.records else "exported with --warmup none"
        return Check(name, "skipped", f"{why}: they are not counted")
    records, count = found.phases["warmup"]["records"], found.compiled.get("warmup", 0)
    later = found.compiled.get("golden", 0) + found.compiled.get("variants", 0)
    problems = []
    if records != manifest.warmup.records:
        problems.append(f"{records} warmup records, exported were {manifest.warmup.records}")
    expected = sum(program.compilations for program in manifest.programs)
    if expected and count != expected:
        problems.append(f"the warmup compiled {count} times, not {expected} (programs x buckets)")
    if later:
        problems.append(f"{later} compilations after the warmup")
    return judged(name, problems, f"{count} in {records} warmup records, none after")


def _golden(manifest: Manifest, found: Found, answers: list[dict[str, Any]] | None) -> Check:
    name, golden = "golden answers", manifest.golden
    if not golden and manifest.options.get("verify") == "none":
        return Check(name, "skipped", "exported with --verify none: nothing says what this version answers")
    if not golden:
        return Check(name, "failed", "the manifest has none: nothing says what this version answers")
    if answers is None:
        return Check(name, "failed", found.error("golden") or "no answers")
    compared = [compared_with(one, answer) for one, answer in zip(golden, answers, strict=False)]
    problems = [problem for one in compared for problem in one.problems]
    return judged(name, problems or uncompared(compared), summary(compared))


def compared_with(golden: GoldenAnswer, answer: dict[str, Any]) -> Comparison:
    """A golden answer with an answer; each problem says of which request."""
    what = f"{golden.signature}({golden.inputs})"
    if "" in answer:
        return Comparison((f"{what} fails: {answer['']}",))
    found = compare(golden, answer)
    return replace(found, problems=tuple(f"{what}: {text}" for text in found.problems))


def _signatures(
    golden: list[GoldenAnswer], requests: list[Request], found: Found, answers: list[dict[str, Any]]
) -> Check:
    name = "signatures"
    if found.error("golden"):
        return Check(name, "failed", str(found.error("golden")))
    if not requests:
        why = "the golden answers go through the only ones" if golden else "no golden prompt to ask them with"
        return Check(name, "skipped", why)
    problems = []
    for request, answer in zip(requests, answers, strict=True):
        errors = [answer[""]] if "" in answer else [text for text in _flat(answer.get("error", ())) if text]
        problems += [f"{request['signature']}({request['inputs']}): {error}" for error in errors[:1]]
    asked = sorted({request["signature"] for request in requests})
    return judged(name, problems, f"{', '.join(asked)} answer the golden prompts")


def _flat(errors: Sequence[Any]) -> Iterator[str]:
    """Of rows, or of several sequences a row."""
    for error in errors:
        yield from error if isinstance(error, list) else [error]


def _batches(golden: list[GoldenAnswer], found: Found) -> Check:
    name, error = "batches", found.error("variants")
    if error:
        return Check(name, "failed", error)
    rows = found.phases["variants"]["found"]
    if not rows:
        return Check(name, "skipped", "no golden prompt was asked in a batch")
    compared, problems = [], []
    for row in rows:
        one = compared_with(golden[row["request"]], row["outputs"])
        where = "beside a long prompt" if row["neighbour"] else f"in a batch of {len(row['requests'])}"
        problems += [f"{where}: {problem}" for problem in one.problems]
        compared.append(one)
    return judged(name, problems, f"in a full batch and beside a long prompt: {summary(compared)}")
