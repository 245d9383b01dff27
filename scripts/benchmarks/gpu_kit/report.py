"""``python -m scripts.benchmarks gpu-report [RESULTS.json]``: docs/performance-gpu.md from what run.py wrote.

Of a rehearsal, and without results, the page says that there is no figure yet, how one is made, and what it
is measured against; of a rehearsal also what ran, and with which versions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.report import MISSING, table

_INTRODUCTION = """\
# Performance on a GPU

Written by `python -m scripts.benchmarks gpu-report`; do not edit. The programs are genserve's, made for
`--target gpu` by TensorFlow and serialized before XLA's optimisations; **the XLA that compiles and runs them
is JAX's**, not that of TensorFlow Serving. Weights are random, drawn on the device, but for the demo
checkpoint, whose answers must be those of the exported SavedModel. Beside them PyTorch: transformers' own
`generate`, greedy.
"""

_HOW = """\
## How

    python -m scripts.benchmarks gpu-kit DIR                 anywhere; a folder of at most 40 MiB
    python DIR/run.py --rehearse                             on a CPU: tiny shapes, shows that it runs
    python DIR/run.py --output results.json                  with the GPU: ends by itself after 8 minutes
    python -m scripts.benchmarks gpu-report results.json     writes this page

`run.py` needs jax (0.10.2 is tried) with its CUDA plugin, numpy, torch and transformers, neither TensorFlow
nor genserve. The time to the first token is that of a call for one token, a step the difference to a call for
all of them; medians of five calls after a warm-up. Bandwidth is the faster of a reduction and a copy of 4
GiB on the same card, arithmetic that of a bfloat16 product of 8,192 x 8,192; what a step must read is every
weight but the token and position tables, of a mixture the experts that its tokens can choose at most.
Temporaries are what XLA plans for the program alone; the peak is the most that the process has held so far.
Beside `results.json` the programs after XLA's optimisations lie in `results-hlo/`: whether int8 kernels are
converted within the products that read them is seen there.
"""

_NONE = """\
**No figure from a GPU exists yet**, and no rehearsal of the runner was reported.
"""

_REHEARSED = """\
**No figure from a GPU exists yet.** The runner was rehearsed on a CPU, as `scripts/test --kit` does it: two
layers of 64 features, compiled and run by JAX's XLA. How long that took says nothing of a GPU and is not
shown.
"""

#: Whether its answers are equal -> how the page says it.
_DEMO = {True: "those of the exported SavedModel", False: "**not those of the SavedModel**", None: "none"}

Results = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """What a run is measured against.

    Attributes:
      words: what it is about.
      bound: the least that it should be, or with ``most`` the most.
      figure: the ratio; raises KeyError where a measurement is missing.
    """

    words: str
    bound: float
    figure: Callable[[Results], float]
    most: bool = False


_8B = "llama3.1-8b.bfloat16"
_GREEDY = f"{_8B}.greedy.b1.p128"
_INT8 = "llama3.1-8b.bfloat16.int8.greedy.b1.p128"


def _speed(results: Results, name: str) -> float:
    """Tokens per second of a case."""
    return float(results["cases"][name]["tokens_per_second"])


def _over(one: str, other: str) -> Callable[[Results], float]:
    return lambda results: _speed(results, one) / _speed(results, other)


def _over_torch(mode: str) -> Callable[[Results], float]:
    return lambda results: (
        _speed(results, _GREEDY) / float(results["torch"][_GREEDY]["modes"][mode]["tokens_per_second"])
    )


def _of_bandwidth(results: Results) -> float:
    """Bytes of weights a second, of what the card reads."""
    read = results["facts"][_GREEDY]["step_bytes"] / results["cases"][_GREEDY]["step_seconds"]
    return float(read / results["machine"]["bandwidth"])


def _of_arithmetic(results: Results) -> float:
    """The time to the first token, in times of what its operations take at the card's measured rate."""
    name = f"{_8B}.greedy.b1.p1024"
    least = results["facts"][name]["prefill_flops"] / results["machine"]["flops"]
    return float(results["cases"][name]["first_token_seconds"] / least)


TARGETS = (
    Target("8B bfloat16, greedy, batch 1: of what bandwidth allows", 0.75, _of_bandwidth),
    Target("... against torch.compile with a static cache", 1.0, _over_torch("torch.compile")),
    Target("... against PyTorch eager", 3.0, _over_torch("eager")),
    Target("batch 32 against batch 1", 10.0, _over(f"{_8B}.greedy.b32.p128", _GREEDY)),
    Target("top-p against greedy, batch 1", 0.9, _over(f"{_8B}.top-p.b1.p128", _GREEDY)),
    Target("top-p against greedy, batch 32", 0.9, _over(f"{_8B}.top-p.b32.p128", f"{_8B}.greedy.b32.p128")),
    Target("all per-row options against greedy, batch 1", 0.9, _over(f"{_8B}.generate.b1.p128", _GREEDY)),
    Target(
        "all per-row options against greedy, batch 32",
        0.9,
        _over(f"{_8B}.generate.b32.p128", f"{_8B}.greedy.b32.p128"),
    ),
    Target(
        # The same rows in the model; the beams' tokens count once.
        "steps of beam 4, batch 1, against greedy, batch 4",
        0.8,
        lambda results: 4 * _over(f"{_8B}.beam-4.b1.p128", f"{_8B}.greedy.b4.p128")(results),
    ),
    Target("int8 against bfloat16, batch 1", 1.5, _over(_INT8, _GREEDY)),
    Target("first token of 1,024, in times of the arithmetic limit", 2.0, _of_arithmetic, most=True),
)


def main(arguments: list[str]) -> int:
    """Writes the page."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks gpu-report", description=__doc__)
    parser.add_argument(
        "results",
        type=Path,
        nargs="?",
        help="what run.py wrote, rehearsing or not; none: no figures",
    )
    parser.add_argument("--output", type=Path, default=Path("docs/performance-gpu.md"))
    options = parser.parse_args(arguments)
    results = json.loads(options.results.read_text(encoding="utf-8")) if options.results else None
    options.output.write_text(page(results), encoding="utf-8")
    return 0


def page(results: Results | None) -> str:
    """The page as Markdown; None: nothing was run yet."""
    sections = [_INTRODUCTION]
    if results is None or results["rehearsal"]:
        sections += [rehearsal(results) if results else _NONE, _HOW, "## Targets\n\n" + targets({})]
    else:
        sections += [_machine(results), "## Targets\n\n" + targets(results)]
        sections += ["## Programs\n\n" + programs(results), "## PyTorch\n\n" + peers(results)]
        sections += [_skipped(results), _HOW]
    return "\n".join(section.rstrip() + "\n" for section in sections if section)


def rehearsal(results: Results) -> str:
    """Date, versions, and what ran on a CPU; no figure of it."""
    cases, peers = results["cases"], results["torch"]
    modes = {
        f"PyTorch, {name} {mode}".rstrip(): one
        for name, each in peers.items()
        for mode, one in each["modes"].items()
    }
    failed = {name: _short(one["error"]) for name, one in (cases | modes).items() if "error" in one}
    lines = [
        f"date: {results['date']}, command: `{results['command']}`",
        f"versions: {_versions(results)}",
        f"programs that ran to their end: {_passed(cases)} of {len(results['facts'])}",
        f"models in one of PyTorch's modes that did: {_passed(modes)} of {len(modes)}",
        f"the demo's answers: {_DEMO[cases.get('demo', {}).get('equal')]}",
        *(f"failed: {name}: {error}" for name, error in failed.items()),
        *(f"not run, the time was over: {name}" for name in results["skipped"]),
    ]
    return _REHEARSED + "\n" + "\n".join(f"- {line}" for line in lines)


def _passed(found: Results) -> int:
    return sum("error" not in one for one in found.values())


def targets(results: Results) -> str:
    """Every target with the measured ratio."""
    rows = [["what", "target", "measured", "met"]]
    for target in TARGETS:
        value, met = MISSING, MISSING
        ratio = _figure(target, results)
        if ratio is not None:
            value = f"{ratio:.2f} x"
            met = "yes" if (ratio <= target.bound if target.most else ratio >= target.bound) else "no"
        rows.append([target.words, f"{'<=' if target.most else '>='} {target.bound} x", value, met])
    return table(rows)


def _figure(target: Target, results: Results) -> float | None:
    try:
        return target.figure(results)
    except KeyError:
        return None


def programs(results: Results) -> str:
    """A line for every case that ran."""
    bandwidth = results.get("machine", {}).get("bandwidth")
    rows = [
        ["program", "first token", "a step", "tokens/s", "of bandwidth", "temporaries", "peak", "compilation"]
    ]
    for name, found in results["cases"].items():
        if "error" in found:
            rows.append([name, f"failed: {_short(found['error'])}", *[MISSING] * 6])
            continue
        if "step_seconds" not in found:
            rows.append([name + _answers(found), *[MISSING] * 6, f"{found['compile_seconds']:.1f} s"])
            continue
        read = results["facts"].get(name, {}).get("step_bytes")
        share = f"{read / found['step_seconds'] / bandwidth:.2f}" if read and bandwidth else MISSING
        held, peak = found.get("temporary_bytes"), found.get("peak_bytes")
        rows.append(
            [
                name + _answers(found),
                *_times(found),
                share,
                f"{held / 2**30:.2f} GiB" if held is not None else MISSING,
                f"{peak / 2**30:.1f} GiB" if peak else MISSING,
                f"{found['compile_seconds']:.1f} s",
            ]
        )
    return table(rows)


def _answers(found: dict[str, Any]) -> str:
    """Of the demo: whether its answers are the SavedModel's."""
    if "equal" not in found:
        return ""
    return " (the SavedModel's answers)" if found["equal"] else " (**other answers than the SavedModel's**)"


def peers(results: Results) -> str:
    """A line for every mode of PyTorch that ran."""
    rows = [["shape", "mode", "first token", "a step", "tokens/s", "peak memory"]]
    for name, found in results["torch"].items():
        for mode, one in found["modes"].items():
            if "error" in one:
                rows.append([name, mode, f"failed: {_short(one['error'])}", *[MISSING] * 3])
                continue
            peak = f"{one['peak_bytes'] / 2**30:.1f} GiB" if one.get("peak_bytes") else MISSING
            rows.append([name, mode, *_times(one), peak])
    return table(rows)


def _times(found: dict[str, Any]) -> list[str]:
    return [
        f"{found['first_token_seconds'] * 1e3:.1f} ms",
        f"{found['step_seconds'] * 1e3:.2f} ms",
        f"{found['tokens_per_second']:.1f}",
    ]


def _short(error: str) -> str:
    return error.splitlines()[0][:100].replace("|", "/")


def _machine(results: Results) -> str:
    """Card, driver, versions, command, and what the card was measured to do."""
    card, machine = results["card"], results.get("machine", {})
    lines = [
        f"card: {card.get('name', machine.get('device', 'unknown'))}, "
        f"{card.get('memory.total', 'memory unknown')}",
        f"driver: {card.get('driver_version', 'unknown')}",
        f"versions: {_versions(results)}",
        f"date: {results['date']}",
        f"command: `{results['command']}`",
    ]
    if machine:
        lines.append(
            f"measured: {machine['bandwidth'] / 1e9:,.0f} GB/s, "
            f"{machine['flops'] / 1e12:,.0f} TFLOP/s in bfloat16"
        )
    return "\n".join(f"- {line}" for line in lines)


def _versions(results: Results) -> str:
    """Of the kit's makers, of jax, and of torch where it ran."""
    versions = {**results["kit"], **results.get("machine", {}).get("versions", {})}
    for found in results["torch"].values():
        versions |= found.get("versions", {})
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _skipped(results: Results) -> str:
    lines = [f"- {name}" for name in results["skipped"]]
    return "\n".join(["## Not measured: the time was over\n", *lines]) if lines else ""
