"""``genserve export``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporter.cli.values import assignments, integers, words
from exporter.errors import OptionError

if TYPE_CHECKING:
    from exporter.exporting.pipeline import ExportResult
    from exporter.exporting.plan import Plan
    from exporter.manifest import Manifest
    from exporter.options import ExportOptions, Job


def export(
    model: Annotated[
        str | None, typer.Argument(help="Hugging Face directory, hub id, or demo:NAME.", metavar="MODEL")
    ] = None,
    out: Annotated[Path | None, typer.Argument(help="Directory of servables.", metavar="OUT")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML job file; flags override it.")] = None,
    name: Annotated[str | None, typer.Option(help="Servable name.")] = None,
    version: Annotated[int | None, typer.Option(help="Version number; default: the next free one.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Cap of generated tokens.")] = None,
    prompt_lengths: Annotated[
        str | None, typer.Option(help="Length buckets in tokens, e.g. 32,128,512.")
    ] = None,
    pad_to_multiple_of: Annotated[
        int | None, typer.Option(help="Length buckets as multiples of this.")
    ] = None,
    max_prompt_length: Annotated[int | None, typer.Option(help="The longest length bucket.")] = None,
    batch_sizes: Annotated[str | None, typer.Option(help="Batch buckets, e.g. 1,8.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="auto, or none for token signatures only.")] = None,
    special_tokens_in_text: Annotated[
        bool | None,
        typer.Option(
            "--special-tokens-in-text/--no-special-tokens-in-text",
            help="Parse special-token text inside prompts (default), or treat it as plain text.",
        ),
    ] = None,
    source_lang: Annotated[str | None, typer.Option(help="Source language of a translation model.")] = None,
    target_lang: Annotated[str | None, typer.Option(help="Target language of a translation model.")] = None,
    overflow: Annotated[
        str | None, typer.Option(help="Over-long prompts: error, truncate_left or truncate_right.")
    ] = None,
    row_errors: Annotated[str | None, typer.Option(help="Bad rows: answer or raise.")] = None,
    warmup: Annotated[str | None, typer.Option(help="Warmup records: none, minimal or full.")] = None,
    outputs: Annotated[
        str | None, typer.Option(help="Further outputs: score,prompt_tokens,truncated.")
    ] = None,
    echo: Annotated[bool | None, typer.Option("--echo", help="Answer the prompt before its text.")] = None,
    extra_signatures: Annotated[
        str | None, typer.Option(help="Of generate,score,next_token; '' for none. Default: generate.")
    ] = None,
    prefix_text: Annotated[
        str | None, typer.Option(help="Text before every prompt, read once at export.")
    ] = None,
    prefix_file: Annotated[Path | None, typer.Option(help="A file with that text.")] = None,
    split_by_length: Annotated[
        bool | None, typer.Option("--split-by-length", help="One more signature per length bucket.")
    ] = None,
    generation: Annotated[
        list[str] | None,
        typer.Option("--generation", "-g", help="A generation option, KEY=VALUE; repeatable."),
    ] = None,
    ignore_config_key: Annotated[
        list[str] | None, typer.Option(help="A key of config.json you vouch for; repeatable.")
    ] = None,
    force: Annotated[bool | None, typer.Option("--force", help="Replace an existing version.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be exported; nothing is read but headers.")
    ] = False,
) -> None:
    """Export MODEL to OUT/NAME/VERSION, with everything a server needs in OUT/serving."""
    job = _job(model, out, config, _flags(locals()))
    from exporter.exporting.plan import plan_job

    # Every model is planned before the first is exported: what cannot be done is known at once.
    plans = plan_job(job)
    for plan in plans:
        for warning in plan.warnings:
            print(f"warning: {plan.options.model}: {warning}", file=sys.stderr)
    if dry_run:
        from exporter.cli.plan import print_plans

        print_plans(plans, as_json=False)
        return
    published = False
    try:
        for plan in plans:
            _export_one(plan)
            published = True
    finally:
        if published:
            from exporter.deployment import write_serving_configs

            write_serving_configs(job.output)


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """The command's arguments that were given, by the names of ``ExportOptions`` and as it reads them."""
    lists = {name: integers(name, given[name]) for name in ("prompt_lengths", "batch_sizes")}
    names = {name: words(given[name]) for name in ("outputs", "extra_signatures")}
    parsed = given | lists | names | {"generation": assignments("generation", given["generation"])}
    parsed["ignore_config_keys"] = tuple(parsed.pop("ignore_config_key") or ()) or None
    others = ("model", "out", "config", "dry_run")  # which say what is exported and where, not how
    return {name: value for name, value in parsed.items() if value is not None and name not in others}


def _job(model: str | None, out: Path | None, config: Path | None, given: dict[str, Any]) -> Job:
    """What the arguments ask for; ``given`` flags override a job file's entries."""
    from exporter.options import Job, make_options, read_job

    if config is not None:
        if out is not None:
            raise OptionError(f"MODEL {model!r}: a job file names its models; give OUT alone with --config")
        return read_job(config, Path(model) if model is not None else None, given)
    if model is None or out is None:
        raise OptionError("MODEL and OUT are needed (or --config JOB)")
    return Job(output=out, exports=(make_options({"model": model, **given}),))


def _export_one(plan: Plan) -> None:
    with _steps(f"{plan.options.model} -> {plan.servable}") as report:
        from exporter.exporting.pipeline import export_planned

        result = export_planned(plan, report)
    _print_summary(plan.options, result)


@contextmanager
def _steps(title: str) -> Iterator[Any]:
    """Yields a step reporter: a spinner per running step, a line per finished one."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    console.print(title, highlight=False)
    with Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:

        @contextmanager
        def report(step: str) -> Iterator[None]:
            task = progress.add_task(step, total=1)
            yield
            progress.update(task, completed=1)

        yield report


def _facts(manifest: Manifest, directory: Path) -> dict[str, str]:
    """What a version is and costs."""
    from rich.filesize import decimal

    files = [path for path in directory.rglob("*") if path.is_file()]
    graph = (directory / "saved_model.pb").stat().st_size
    model, prefix = manifest.model, manifest.prefix
    lengths, batches = list(manifest.buckets.prompt_lengths), list(manifest.buckets.batch_sizes)
    facts = {
        "version": str(directory),
        "model": f"{model.model_type}, {model.parameters:,} parameters, {model.dtype}",
        "size": f"{decimal(sum(path.stat().st_size for path in files))} (graph {decimal(graph)})",
        "buckets": f"prompt lengths {lengths} x batch sizes {batches}: "
        f"{len(lengths) * len(batches)} compilations per program",
        "keys and values": f"{decimal(manifest.memory.cache_bytes_per_row)} a row at most",
        "warmup": f"{manifest.warmup.records} records",
    }
    if prefix is not None:
        facts["prefix"] = (
            f"{prefix.tokens} tokens baked ({decimal(prefix.bytes)}), {prefix.rest_tokens} with each "
            f"request: {prefix.rest!r}"
        )
    return facts


def _print_summary(options: ExportOptions, result: ExportResult) -> None:
    """What was written, at which size, with which options."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    manifest, directory = result.manifest, result.directory
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for label, fact in {**_facts(manifest, directory), "seconds": f"{result.seconds:.1f}"}.items():
        table.add_row(label, fact)
    console.print(table, highlight=False, soft_wrap=True)
    console.print("signatures", highlight=False)
    for name, signature in manifest.signatures.items():
        console.print(
            f"  {name}: {', '.join(signature.inputs)} -> {', '.join(signature.outputs)}",
            highlight=False,
            soft_wrap=True,
        )
    for note in manifest.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True, markup=False)
    console.print("options (* not the default)", highlight=False)
    for name, (value, is_default) in options.effective().items():
        console.print(f"  {' ' if is_default else '*'} {name}: {value}", highlight=False, soft_wrap=True)
    console.print(
        f"serve it\n  genserve serve {directory.parent.parent}      # preview, for development\n"
        f"  {directory.parent.parent / 'serving'}      # TensorFlow Serving: run lines and configs",
        highlight=False,
        soft_wrap=True,
    )
