"""docs/performance.md, and its charts, from the result files."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from scripts.benchmarks.cases import LIMITS, SWEEPS, TARGET_CASES, TARGETS, Case, Limit, Target
from scripts.benchmarks.harness import Bench, Result
from scripts.benchmarks.peers import PEERS

MISSING = "–"
Results = Sequence[tuple[str, Result]]

_INTRODUCTION = """\
# Performance

Written by `scripts/benchmark`; do not edit. Random-weight checkpoints of the GPT-2 124M and the T5-small
shape, fp32 (but for CTranslate2's int8), the same prompts for everyone, every row generating all its tokens.
Each figure is the median call of one process per peer and case, after warm-up. genserve runs through its
exported SavedModel. Tokens count once per prompt: beams are work, not tokens.
"""


SPEEDS = "## Tokens per second\n\nIn brackets: genserve's speed relative to the peer's.\n\n"


def write(bench: Bench, path: Path, facts: dict[str, str], more: Sequence[str] = ()) -> None:
    """Writes the report, and beside it ``performance/*.svg`` for the sweeps that have results.

    Args:
      bench: where the results lie.
      path: docs/performance.md.
      facts: machine, date and command.
      more: further sections.
    """
    sections = [
        _INTRODUCTION,
        listed(stood_on(bench, TARGET_CASES, facts)),
        SPEEDS + by_case(bench, TARGET_CASES, speed, PEERS),
        "## Targets\n\n" + targets(bench),
        limits(bench),
        "## Load, first call, export\n\n" + starts(bench),
        *more,
        *_charts(bench, path),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(sections), encoding="utf-8")


def by_case(
    bench: Bench,
    cases: Sequence[Case],
    cell: Callable[[Bench, str, Case, Result], str],
    peers: Iterable[str],
) -> str:
    """Cases by peers."""
    rows = [["case", *peers]]
    for case in cases:
        found = [(peer, bench.result(peer, case)) for peer in peers]
        rows.append([case.name, *(cell(bench, peer, case, one) if one else MISSING for peer, one in found)])
    return table(rows)


def speed(bench: Bench, peer: str, case: Case, result: Result) -> str:
    """Tokens per second; of a peer, how many times as fast genserve is."""
    ours, shown = bench.result("genserve", case), f"{result.tokens_per_second:.1f}"
    if ours is None or peer == "genserve":
        return shown
    return f"{shown} ({ours.tokens_per_second / result.tokens_per_second:.2f} x)"


def targets(bench: Bench) -> str:
    """Every target with the measured ratio."""
    rows = [["case", "against", "target", "measured", "met"]]
    for target in TARGETS:
        ratio = measured(bench, target)
        against = target.than.name if target.than else str(target.peer)
        value = MISSING if ratio is None else f"{ratio:.2f} x"
        met = MISSING if ratio is None else ("yes" if ratio >= target.least else "no")
        rows.append([target.case.name, against, f">= {target.least} x", value, met])
    return table(rows)


def measured(bench: Bench, target: Target) -> float | None:
    """The ratio that a target speaks of; None while a result is missing."""
    ours = bench.result("genserve", target.case)
    if target.than is not None:
        other = bench.result("genserve", target.than)
    else:
        other = bench.result(str(target.peer), target.case)
    if ours is None or other is None:
        return None
    return ours.tokens_per_second / other.tokens_per_second


def limits(bench: Bench) -> str:
    """Every limit with the figure."""
    rows = [["figure", "case", "target", "measured", "met"]]
    for limit in LIMITS:
        value = figure(bench, limit)
        words, show = _FIGURES[limit.figure]
        sign = ">=" if limit.least else "<="
        met = None if value is None else (value >= limit.bound if limit.least else value <= limit.bound)
        rows.append(
            [
                words,
                limit.case.name,
                f"{sign} {show.format(limit.bound)}",
                MISSING if value is None else show.format(value),
                MISSING if met is None else ("yes" if met else "no"),
            ]
        )
    return table(rows)


#: Limit.figure -> what it is called, how it is written.
_FIGURES = {
    "bandwidth": ("weights read, of what memory can give", "{:.2f}"),
    "compile": ("compilation of a bucket, relative to tf-xla", "{:.2f}"),
    "graph": ("saved_model.pb, bytes", "{:,.0f}"),
    "export": ("export, seconds", "{:.1f}"),
    "load": ("load, seconds", "{:.1f}"),
    "tokenizer": ("tokenizer's share of a request", "{:.4f}"),
}


def figure(bench: Bench, limit: Limit) -> float | None:
    """The figure that a limit speaks of; None while a result is missing."""
    ours = bench.result("genserve", limit.case)
    if ours is None:
        return None
    if limit.figure == "bandwidth":
        read = limit.case.new_tokens * step_bytes(bench.root / "checkpoints" / limit.case.shape)
        pairs = zip(ours.seconds, ours.bandwidth, strict=True)
        return statistics.median(read / (seconds * bandwidth) for seconds, bandwidth in pairs)
    if limit.figure == "compile":
        peer = bench.result("tf-xla", limit.case)
        return None if peer is None else _compilation(ours) / _compilation(peer)
    if limit.figure == "tokenizer":
        return (
            None
            if ours.tokenizer_seconds is None
            else ours.tokenizer_seconds / statistics.median(ours.seconds)
        )
    return {"graph": ours.graph_bytes, "export": ours.export_seconds, "load": ours.load_seconds}[limit.figure]


def _compilation(result: Result) -> float:
    return result.first_seconds - statistics.median(result.seconds)


def step_bytes(checkpoint: Path) -> int:
    """Bytes of weights that a decoding step of a GPT-2 must read: all but the table of positions."""
    with (checkpoint / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    tensors = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
    return sum(end - start for name, (start, end) in tensors.items() if not name.endswith("wpe.weight"))


def starts(bench: Bench) -> str:
    """What comes before the speed: seconds to load and to answer first, and the artifact's making."""
    rows = [["case", "peer", "load", "first call", "export", "graph"]]
    for case in TARGET_CASES:
        for peer in PEERS:
            result = bench.result(peer, case)
            if result is None or peer not in ("genserve", "tf-xla"):
                continue
            export = f"{result.export_seconds:.1f} s" if result.export_seconds is not None else ""
            graph = f"{result.graph_bytes / 1e6:.2f} MB" if result.graph_bytes is not None else ""
            seconds = [f"{result.load_seconds:.1f} s", f"{result.first_seconds:.1f} s"]
            rows.append([case.name, peer, *seconds, export, graph])
    return table(rows)


def stood_on(bench: Bench, cases: Sequence[Case], facts: Mapping[str, str]) -> dict[str, str]:
    """What the figures stand on: the facts, then memory, versions and method, as the results have them."""
    found = [(peer, bench.result(peer, case)) for case in cases for peer in PEERS]
    results = [(peer, result) for peer, result in found if result is not None]
    return {**facts, **_bandwidth(results), **_versions(results), "measured with": _method(results)}


def listed(facts: Mapping[str, str]) -> str:
    """A Markdown list."""
    return "".join(f"- {name}: {fact}\n" for name, fact in facts.items())


def _versions(results: Results) -> dict[str, str]:
    """Of each peer the versions that its results were measured with."""
    lines: dict[str, set[str]] = {}
    for peer, result in results:
        versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
        lines.setdefault(peer, set()).add(versions)
    return {peer: "; ".join(sorted(lines[peer])) for peer in sorted(lines)}


def _bandwidth(results: Results) -> dict[str, str]:
    """Of all measurements: machines that are shared do not always read as fast."""
    found = [bandwidth / 1e9 for _, result in results for bandwidth in result.bandwidth]
    if not found:
        return {"memory read bandwidth": "not measured yet"}
    figures = f"{statistics.median(found):.1f} GB/s ({min(found):.1f} to {max(found):.1f})"
    return {"memory read bandwidth, beside every call": figures}


def _method(results: Results) -> str:
    """Threads, warm-up and trials; of each all values, where results were measured differently."""
    values: dict[str, set[int]] = {}
    for _, result in results:
        for name, value in result.settings.items():
            values.setdefault(name, set()).add(value)
    parts = (f"{name} {' or '.join(map(str, sorted(found)))}" for name, found in values.items())
    return ", ".join(parts) or "nothing measured yet"


def _charts(bench: Bench, path: Path) -> list[str]:
    """A section with a chart per sweep, drawn where results exist."""
    drawn = [(axis, _chart(bench, axis, sweep, path)) for axis, sweep in SWEEPS.items()]
    names = [f"![seconds against {axis}](performance/{name})" for axis, name in drawn if name]
    return ["## Growth\n\n" + "\n\n".join(names) + "\n"] if names else []


def _chart(bench: Bench, axis: str, sweep: tuple[Case, ...], path: Path) -> str | None:
    points = [(getattr(case, axis), bench.result("genserve", case)) for case in sweep]
    known = [(value, statistics.median(result.seconds)) for value, result in points if result is not None]
    if len(known) < 2:
        return None
    from matplotlib.figure import Figure  # type: ignore[import-not-found]

    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*known, strict=True), marker="o")
    axes.set(xlabel=axis.replace("_", " "), ylabel="seconds per call", xlim=(0, None), ylim=(0, None))
    target = path.parent / "performance" / f"{axis}.svg"
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})
    return target.name


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"
