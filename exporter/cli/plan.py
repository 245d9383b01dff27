"""``genserve plan``: what a model or version needs of GPUs."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporter.errors import OptionError

if TYPE_CHECKING:
    from exporter.capacity.planning import Capacity, Load
    from exporter.capacity.speed import Limits
    from exporter.capacity.subject import Subject
    from exporter.options import ExportOptions

_Count = Annotated[int | None, typer.Option(min=1)]


def plan(
    target: Annotated[
        str,
        typer.Argument(
            help="A version's directory OUT/NAME/VERSION, or a model as for export.", metavar="TARGET"
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option(help="KEY=VALUE of a model's export, as a job file names it; repeatable."),
    ] = None,
    card: Annotated[str | None, typer.Option(help="A card by its name: L4, A100-80, H100-SXM, ...")] = None,
    gpu_memory: Annotated[str | None, typer.Option(help="Memory of the GPU, such as 24GiB.")] = None,
    bandwidth: Annotated[float | None, typer.Option(help="Of its memory, GB/s; default: the card's.")] = None,
    efficiency: Annotated[
        float | None,
        typer.Option(
            help="The part of the card's limits that is reached, up to 1; default: what genserve warm found."
        ),
    ] = None,
    requests_per_second: Annotated[float | None, typer.Option(help="The load of all replicas.")] = None,
    prompt_tokens: _Count = None,
    new_tokens: _Count = None,
    wait: Annotated[
        float | None,
        typer.Option(help="Mean seconds that a request may wait; default: a full batch's."),
    ] = None,
    price_per_hour: Annotated[float | None, typer.Option(help="Of one replica, in any currency.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the plan into this PNG, SVG or PDF.")] = None,
    apply: Annotated[
        Path | None, typer.Option(help="Write the chosen buckets into this job file.", metavar="JOB.yaml")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Plan GPU memory, batch sizes, replicas and cost of a version, or of a model before its export."""
    from exporter.capacity.cards import card_of, size_of
    from exporter.capacity.planning import plan_capacity

    for name, value in {
        "--bandwidth": bandwidth,
        "--efficiency": efficiency,
        "--requests-per-second": requests_per_second,
        "--wait": wait,
        "--price-per-hour": price_per_hour,
    }.items():
        if value is not None and not 0 < value < float("inf"):
            raise OptionError(f"{name}: {value:g} must be above 0")
    if efficiency is not None and efficiency > 1:
        raise OptionError(f"--efficiency: {efficiency:g} must be at most 1")
    load = _load(requests_per_second, prompt_tokens, new_tokens, wait)
    chosen = card_of(card) if card is not None else None
    memory = size_of("--gpu-memory", gpu_memory) if gpu_memory is not None else None
    gpu_bytes = memory or (chosen.memory_bytes if chosen else None)
    place, exported = _entry(apply, target) if apply is not None else (0, None)
    subject = _subject(target, option, exported)
    limits = _limits(subject, card, bandwidth, efficiency)
    if (load is not None or price_per_hour is not None) and (gpu_bytes is None or limits is None):
        raise OptionError("--requests-per-second: needs a --card, or --gpu-memory and --bandwidth")
    if price_per_hour is not None and load is None:
        raise OptionError("--price-per-hour: needs --requests-per-second, --prompt-tokens and --new-tokens")
    if apply is not None and gpu_bytes is None:
        raise OptionError("--apply: needs a --card or --gpu-memory to choose buckets for")
    capacity = plan_capacity(subject, gpu_bytes, limits, load, price_per_hour)
    if plot is not None:
        _draw(capacity, plot)
    if apply is not None:
        from exporter.capacity.applying import apply_buckets

        apply_buckets(apply, place, capacity.batch_sizes, capacity.prompt_lengths)
    if as_json:
        print(json.dumps(capacity.report(), indent=2, ensure_ascii=False))
    else:
        from exporter.cli.plan_tables import print_capacity

        print_capacity(capacity, load)


def _load(rate: float | None, prompt: int | None, new: int | None, wait: float | None) -> Load | None:
    """All three of a load, or none."""
    from exporter.capacity.planning import Load

    if rate is not None and prompt is not None and new is not None:
        return Load(rate, prompt, new, wait)
    given = {"--requests-per-second": rate, "--prompt-tokens": prompt, "--new-tokens": new}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) < len(given):
        raise OptionError(f"{', '.join(missing)}: missing; a load is {', '.join(given)} together")
    if wait is not None:
        raise OptionError("--wait: needs a load: " + ", ".join(given))
    return None


def _limits(
    subject: Subject, name: str | None, bandwidth: float | None, efficiency: float | None
) -> Limits | None:
    """Of the card, or the bandwidth that was given; with the efficiency that is known."""
    from exporter.capacity.cards import card_of
    from exporter.capacity.speed import Limits, measured_efficiency

    card = card_of(name) if name is not None else None
    speed = bandwidth or (card.bandwidth if card else None)
    if speed is None:
        if efficiency is not None:
            raise OptionError("--efficiency: needs a --card or --bandwidth that it is a part of")
        return None
    tflops = (card.tflops32 if subject.dtype == "float32" else card.tflops16) if card else None
    limits = Limits(speed * 1e9, tflops * 1e12 if tflops else None)
    if efficiency is not None:
        return replace(limits, efficiency=efficiency, source="stated")
    measured = measured_efficiency(subject, limits)
    return replace(limits, efficiency=measured, source="measured") if measured else limits


def _subject(target: str, option: list[str] | None, exported: ExportOptions | None) -> Subject:
    from exporter.capacity.subject import of_plan, of_version
    from exporter.cli.manifests import version_manifest
    from exporter.cli.values import assignments
    from exporter.manifest import MANIFEST_PATH
    from exporter.options import make_options

    if (Path(target) / MANIFEST_PATH).is_file():
        if option:
            raise OptionError("--option: is of a model's export, and the version is exported already")
        return of_version(version_manifest(Path(target)))
    from exporter.exporting.plan import plan_export

    values = exported.model_dump(exclude_unset=True) if exported else {"model": target}
    values |= assignments("--option", option) or {}
    with tempfile.TemporaryDirectory() as nowhere:
        return of_plan(plan_export(make_options(values), Path(nowhere)))


def _entry(path: Path, target: str) -> tuple[int, ExportOptions]:
    """The job's model that ``target`` is, a version's by its name or model: its place, and its options."""
    from exporter.cli.manifests import version_manifest
    from exporter.manifest import MANIFEST_PATH
    from exporter.options import read_job

    wanted = {target}
    if (Path(target) / MANIFEST_PATH).is_file():
        manifest = version_manifest(Path(target))
        wanted = {manifest.name, manifest.model.source}
    exports = read_job(path, Path(), {}).exports
    found = [
        place
        for place, options in enumerate(exports)
        if wanted & {options.model, options.servable_name()} or _same(target, options.model)
    ]
    if len(found) != 1:
        names = ", ".join(options.servable_name() for options in exports)
        raise OptionError(
            f"--apply: {'no' if not found else 'more than one'} model of {path} is {target!r}; "
            f"allowed: one of {names}"
        )
    return found[0], exports[found[0]]


def _same(target: str, model: str) -> bool:
    return Path(target).is_dir() and Path(target).resolve() == Path(model).resolve()


def _draw(capacity: Capacity, path: Path) -> None:
    from exporter.capacity.plot import draw

    try:
        draw(capacity, path)
    except (OSError, ValueError) as error:
        raise OptionError(f"--plot: {path} cannot be written: {error}") from error
