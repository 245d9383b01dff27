"""``genserve export``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporter.choices import (
    Chat,
    Dtype,
    ExtraSignature,
    Output,
    Overflow,
    Reasoning,
    RowErrors,
    ScanLayers,
    StoredWeights,
    Target,
    Thinking,
    Tokenizer,
    TokenizerReference,
    Verify,
    Warmup,
)
from exporter.cli.summary import facts, print_summary
from exporter.cli.values import assignments, integers, listed, mapping, words
from exporter.errors import OptionError

if TYPE_CHECKING:
    from exporter.exporting.pipeline import ExportResult
    from exporter.exporting.plan import Plan
    from exporter.options import Job


def export(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Hugging Face directory, KerasHub preset, GGUF file, hub id, or demo:NAME.", metavar="MODEL"
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Argument(help="Directory of servables, or a URL such as s3://...", metavar="OUT")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML job file; flags override it.")] = None,
    name: Annotated[str | None, typer.Option(help="Servable name.")] = None,
    version: Annotated[int | None, typer.Option(help="Version number; default: the next free one.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="A PEFT LoRA adapter to merge: a directory or hub id.")
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Cap of generated tokens.")] = None,
    prompt_lengths: Annotated[
        str | None, typer.Option(help="Length buckets in tokens, e.g. 32,128,512.")
    ] = None,
    pad_to_multiple_of: Annotated[
        int | None, typer.Option(help="Length buckets as multiples of this.")
    ] = None,
    max_prompt_length: Annotated[int | None, typer.Option(help="The longest length bucket.")] = None,
    batch_sizes: Annotated[str | None, typer.Option(help="Batch buckets, e.g. 1,8.")] = None,
    target: Annotated[Target | None, typer.Option(help="What the programs are made for.")] = None,
    scan_layers: Annotated[
        ScanLayers | None,
        typer.Option(help="on: equal layers as one loop, which compiles faster; auto (default): off."),
    ] = None,
    dtype: Annotated[
        Dtype | None,
        typer.Option(
            help="Type of weights and activations; auto (default): the checkpoint's own, float32 for a CPU."
        ),
    ] = None,
    weights: Annotated[
        StoredWeights | None, typer.Option(help="int8: kernels in int8, a scale for each output channel.")
    ] = None,
    int8_tables: Annotated[
        bool | None, typer.Option("--int8-tables", help="Token embedding and output head in int8 too.")
    ] = None,
    accuracy_text: Annotated[
        Path | None,
        typer.Option(help="A text file on which int8 weights are compared with plain ones too."),
    ] = None,
    tokenizer: Annotated[Tokenizer | None, typer.Option(help="none: token signatures only.")] = None,
    tokenizer_reference: Annotated[
        TokenizerReference | None,
        typer.Option(help="Whose tokens: the published files', or AutoTokenizer's of the installed version."),
    ] = None,
    special_tokens_in_text: Annotated[
        bool | None,
        typer.Option(
            "--special-tokens-in-text/--no-special-tokens-in-text",
            help="Parse special-token text inside prompts (default), or treat it as plain text.",
        ),
    ] = None,
    source_lang: Annotated[str | None, typer.Option(help="Source language of a translation model.")] = None,
    target_lang: Annotated[str | None, typer.Option(help="Target language of a translation model.")] = None,
    overflow: Annotated[Overflow | None, typer.Option(help="What becomes of over-long prompts.")] = None,
    row_errors: Annotated[
        RowErrors | None, typer.Option(help="Bad rows answer with their error, or raise one for the request.")
    ] = None,
    warmup: Annotated[Warmup | None, typer.Option(help="Warmup records.")] = None,
    verify: Annotated[
        Verify | None, typer.Option(help="none: publish without loading what was written.")
    ] = None,
    outputs: Annotated[str | None, typer.Option(help="Further outputs.", metavar=listed(Output))] = None,
    echo: Annotated[bool | None, typer.Option("--echo", help="Answer the prompt before its text.")] = None,
    extra_signatures: Annotated[
        str | None,
        typer.Option(help="'' for none. Default: generate.", metavar=listed(ExtraSignature)),
    ] = None,
    prefix_text: Annotated[
        str | None, typer.Option(help="Text before every prompt, read once at export.")
    ] = None,
    prefix_file: Annotated[Path | None, typer.Option(help="A file with that text.")] = None,
    template: Annotated[
        str | None, typer.Option(help="A prompt template, a {field} for every input of 'template'.")
    ] = None,
    template_file: Annotated[Path | None, typer.Option(help="A file with that template.")] = None,
    chat: Annotated[Chat | None, typer.Option(help="Serve the checkpoint's chat template.")] = None,
    chat_system: Annotated[
        str | None, typer.Option(help="The system text of every chat, read once at export; '' for none.")
    ] = None,
    chat_system_file: Annotated[Path | None, typer.Option(help="A file with that text.")] = None,
    thinking: Annotated[
        Thinking | None, typer.Option(help="enable_thinking of the chat template; auto: not given.")
    ] = None,
    reasoning: Annotated[
        Reasoning | None, typer.Option(help="The thinking of a chat: in the text, an output, or left out.")
    ] = None,
    chat_variable: Annotated[
        list[str] | None,
        typer.Option(help="A variable of the chat template, KEY=VALUE; repeatable."),
    ] = None,
    split_by_length: Annotated[
        bool | None, typer.Option("--split-by-length", help="One more signature per length bucket.")
    ] = None,
    generation: Annotated[
        list[str] | None,
        typer.Option("--generation", "-g", help="A generation option, KEY=VALUE; repeatable."),
    ] = None,
    guides: Annotated[
        Path | None,
        typer.Option(help="YAML file of named guides that a row of generate chooses from."),
    ] = None,
    ignore_config_key: Annotated[
        list[str] | None, typer.Option(help="A key of config.json you vouch for; repeatable.")
    ] = None,
    force: Annotated[bool | None, typer.Option("--force", help="Replace an existing version.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be exported; nothing is read but headers.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per version; with --dry-run a list.")
    ] = False,
) -> None:
    """Export MODEL to OUT/NAME/VERSION, with everything a server needs in OUT/serving."""
    flags = _flags(locals())
    from exporter.options import job_output

    place = model if config is not None and out is None else out
    if place is None and config is not None:
        place = job_output(config)
    if place is None or "://" not in place:
        _export_job(_job(model, out, config, flags), dry_run=dry_run, as_json=as_json)
        return
    from exporter.publishing import remote

    with remote.mirrored(place) as mirror:
        job = _job(str(mirror), None, config, flags) if config else _job(model, str(mirror), None, flags)
        _export_job(job, dry_run=dry_run, as_json=as_json, url=place)


def _export_job(job: Job, *, dry_run: bool, as_json: bool, url: str | None = None) -> None:
    """Exports every model; with ``url``, ``job.output`` is the mirror of what is there."""
    from exporter.exporting.plan import plan_job

    # Every model is planned before the first is exported: what cannot be done is known at once.
    plans = plan_job(job)
    for plan in plans:
        for warning in plan.warnings:
            print(f"warning: {plan.options.model}: {warning}", file=sys.stderr)
    if dry_run:
        from exporter.cli.dry_run import print_plans

        print_plans(plans, as_json=as_json, url=url)
        return
    published = False
    try:
        for plan in plans:
            result = _export_one(plan) if url is None else _export_to(url, plan)
            published = True
            if as_json:
                print(json.dumps(facts(result, plan.options, url), ensure_ascii=False), flush=True)
            else:
                print_summary(result, plan.options, url)
    finally:
        if published:
            _render(job.output, url, {plan.servable.name for plan in plans})


def _render(output: Path, url: str | None, names: set[str]) -> None:
    """The deployment files with the new versions; of a URL, from what stands there by now."""
    from exporter.deployment import change_options, write_serving_configs
    from exporter.publishing import remote

    if url is None:
        write_serving_configs(output)
        _print_not_loaded(output, names)
        return
    with remote.mirrored(url, write=True) as mirror:
        change_options(mirror, lambda chosen: chosen.update(source=url))


def _export_to(url: str, plan: Plan) -> ExportResult:
    """Exports into the mirror, under a number claimed in the store, and uploads the version."""
    from dataclasses import replace

    from exporter.publishing import remote

    name = plan.servable.name
    with remote.claimed(url, name, plan.options.version, force=plan.options.force) as number:
        options = plan.options.model_copy(update={"version": number, "force": True})
        result = _export_one(replace(plan, options=options, version=number), f"{url}/{name}")
        remote.upload(plan.servable / str(number), url, name, number)
    return result


def _print_not_loaded(output: Path, names: set[str]) -> None:
    """A model with labels is served by them: a new version waits for its promotion."""
    from exporter.rollout import list_versions

    newest = {fact.name: fact for fact in list_versions(output) if fact.name in names}
    for fact in newest.values():
        if not fact.loaded:
            print(
                f"{fact.name} is served by its labels: 'genserve promote {output / fact.name} "
                f"{fact.version}' serves this version (--label canary: beside the stable one)",
                file=sys.stderr,
            )


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """The command's arguments that were given, by the names of ``ExportOptions`` and as it reads them."""
    lists = {name: integers(name, given[name]) for name in ("prompt_lengths", "batch_sizes")}
    names = {name: words(given[name]) for name in ("outputs", "extra_signatures")}
    parsed = given | lists | names | {"generation": assignments("generation", given["generation"])}
    parsed["guides"] = None if given["guides"] is None else mapping("guides", given["guides"])
    parsed["chat_variables"] = assignments("chat_variables", parsed.pop("chat_variable"))
    parsed["ignore_config_keys"] = tuple(parsed.pop("ignore_config_key") or ()) or None
    others = ("model", "out", "config", "dry_run", "as_json")  # which say what is exported and where, not how
    return {name: value for name, value in parsed.items() if value is not None and name not in others}


def _job(model: str | None, out: str | None, config: Path | None, given: dict[str, Any]) -> Job:
    """What the arguments ask for; ``given`` flags override a job file's entries."""
    from exporter.options import Job, make_options, read_job

    if config is not None:
        if out is not None:
            raise OptionError(f"MODEL {model!r}: a job file names its models; give OUT alone with --config")
        return read_job(config, Path(model) if model is not None else None, given)
    if model is None or out is None:
        raise OptionError("MODEL and OUT are needed (or --config JOB)")
    return Job(output=Path(out), exports=(make_options({"model": model, **given}),))


def _export_one(plan: Plan, place: str | None = None) -> ExportResult:
    with _steps(f"{plan.options.model} -> {place or plan.servable}") as report:
        from exporter.exporting.pipeline import export_planned

        return export_planned(plan, report)


@contextmanager
def _steps(title: str) -> Iterator[Any]:
    """Yields a step reporter: a spinner per running step, a line per finished one."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    console.print(title, highlight=False, markup=False, emoji=False)
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
