"""``genserve batch``: a corpus through a version, offline."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporter.choices import AnswerFormat, CorpusFormat
from exporter.errors import GenserveError, OptionError, ServingError

if TYPE_CHECKING:
    from exporter.batch.job import Job
    from exporter.batch.shards import Shard

#: Seconds between two looks at what is finished.
_LOOK = 1.0


def batch(
    source: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Files or patterns: text, JSONL, Parquet.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder of the results.")],
    model: Annotated[Path, typer.Option(help="The version's directory, OUT/NAME/VERSION.")],
    signature: Annotated[str, typer.Option(help="Which one answers.")] = "serving_default",
    column: Annotated[
        list[str] | None,
        typer.Option(help="INPUT=COLUMN: a signature's input from a column of another name; repeatable."),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="INPUT=VALUE for rows without such a column; repeatable.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Whose values are the rows' ids. Default: file and row number.")
    ] = None,
    seed: Annotated[int, typer.Option(help="What seeds are made of, with the rows' ids.")] = 0,
    input_format: Annotated[CorpusFormat | None, typer.Option(help="Default: by the files' names.")] = None,
    output_format: Annotated[AnswerFormat, typer.Option()] = "jsonl",
    shard_rows: Annotated[int, typer.Option(help="Rows that are finished together.", min=1)] = 2000,
    workers: Annotated[int, typer.Option(help="Processes on this machine.", min=1)] = 1,
    beam: Annotated[
        list[str] | None,
        typer.Option(help="A flag of Beam's own, such as --beam=--runner=FlinkRunner; repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew whatever OUTPUT holds.")] = False,
) -> None:
    """Answer every row of a corpus with an exported version. A run that was stopped goes on where it ended.

    Rows that get no answer are in OUTPUT/errors-*.jsonl with the reason; without any answer the code is 7.
    """
    logging.getLogger().setLevel(logging.ERROR)  # Beam warns of cloud packages that nobody asked for
    from exporter.batch.job import Job, begin, signature_of
    from exporter.batch.results import finished
    from exporter.batch.shards import cut
    from exporter.cli.manifests import version_manifest
    from exporter.cli.values import assignments

    columns = {name: str(value) for name, value in (assignments("column", column) or {}).items()}
    constants = assignments("option", option) or {}
    job = Job(str(model), signature, output, columns, constants, id_column, seed, output_format)
    manifest = version_manifest(model)
    info = signature_of(manifest, job)
    if "seed" not in info.inputs and manifest.generation.get("do_sample") and signature == "serving_default":
        print(f"note: {signature} draws its answers anew each time; generate takes a seed", file=sys.stderr)
    shards = cut(source, input_format, shard_rows)
    begin(job, shards, shard_rows, manifest, overwrite=overwrite)
    done = {mark.shard for mark in finished(job)}
    left = [shard for shard in shards if shard.number not in done]
    _run(job, shards, left, _arguments(workers, beam or []))
    _report(job, shards)


def _arguments(workers: int, beam: list[str]) -> list[str]:
    if any(flag.startswith("--runner") for flag in beam):
        if workers > 1:
            raise OptionError(
                f"workers {workers}: of this machine; a runner of your own has flags of its own"
            )
        return beam
    mode = "multi_processing" if workers > 1 else "in_memory"
    own = ["--runner=DirectRunner", f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
    return own + beam


def _run(job: Job, shards: list[Shard], left: list[Shard], arguments: list[str]) -> None:
    """Runs the pipeline beside a progress bar that reads the finished shards' marks."""
    if not left:
        return
    from exporter.batch.pipeline import run
    from exporter.cli.progress_bar import progress_bar

    failure: list[BaseException] = []

    def work() -> None:
        try:
            run(job, left, arguments)
        except BaseException as error:  # told by the thread that waits
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True)
    with progress_bar() as progress:
        task = progress.add_task("rows", total=sum(shard.rows for shard in shards), figures="")
        before = _finished(job)
        started = time.monotonic()
        thread.start()
        while thread.is_alive():
            thread.join(_LOOK)
            now, seconds = _finished(job), time.monotonic() - started
            speed = (
                f"{(now[0] - before[0]) / seconds:.1f} rows/s, {(now[1] - before[1]) / seconds:.1f} tokens/s"
            )
            progress.update(task, completed=now[0], figures=speed)
    if failure:
        raise _told(failure[0])


def _finished(job: Job) -> tuple[int, int]:
    """Rows and tokens of the shards that are whole."""
    from exporter.batch.results import finished

    marks = finished(job)
    return sum(mark.rows for mark in marks), sum(mark.tokens for mark in marks)


def _told(error: BaseException) -> BaseException:
    """What a worker raised; Beam wraps it in texts of its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GenserveError):
            return cause
        cause = cause.__cause__
    return error


def _report(job: Job, shards: list[Shard]) -> None:
    """Prints what the finished shards say together; raises ServingError where they hold no answer at all."""
    from exporter.batch.results import finished, first_reason

    marks = finished(job)
    rows, errors = sum(mark.rows for mark in marks), sum(mark.errors for mark in marks)
    tokens, seconds = sum(mark.tokens for mark in marks), sum(mark.seconds for mark in marks)
    print(f"{rows} rows, {rows - errors} answered, {errors} not (errors-*.jsonl), {tokens} tokens generated")
    if seconds:
        print(f"{rows / seconds:.1f} rows and {tokens / seconds:.1f} tokens a second of answering")
    print(f"{job.output}: {len(shards)} shards")
    if errors and rows == errors:
        raise ServingError(
            f"none of {rows} rows was answered, one of them for: {first_reason(job)}; all reasons: "
            f"{job.output}/errors-*.jsonl"
        )
