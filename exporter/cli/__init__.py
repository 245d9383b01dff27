"""The command line: verbs turn flags into options. The only room that prints and exits.

Heavy imports stand inside the verbs: ``genserve --help`` loads neither TensorFlow nor transformers.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from exporter import __version__
from exporter.cli import (
    batch,
    bench,
    chat,
    completion,
    doctor,
    export,
    gateway,
    generate,
    help_topics,
    plan,
    questions,
    serving,
    versions,
)
from exporter.cli.installed import installed
from exporter.cli.quiet import quiet
from exporter.cli.unexpected import unexpected
from exporter.errors import GenserveError, OptionError, missing_extra

app = typer.Typer(
    name="genserve",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(export.export)
app.command()(questions.inspect)
app.command()(plan.plan)
app.command()(questions.verify)
app.command()(questions.verify_tokenizer)
app.command()(doctor.doctor)
app.command()(serving.config)
app.command()(serving.serve)
app.command()(generate.generate)
app.command()(chat.chat)
app.command()(batch.batch)
app.command()(bench.bench)
app.command()(gateway.gateway)
app.command()(serving.warm)
app.command()(versions.versions)
app.command()(versions.promote)
app.command()(versions.rollback)
app.command()(versions.prune)
app.command()(versions.pull)
app.command("help")(help_topics.show_help)
app.command()(completion.completion)


def main() -> None:
    """Runs the command line. Whatever goes wrong becomes one message on stderr and an exit code."""
    try:
        quiet()
        _run()
    except GenserveError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        print(f"error: {unexpected(error)}", file=sys.stderr)
        raise SystemExit(1) from None


def _run() -> None:
    """The verb; a package that only an extra installs is named with its extra."""
    completion.answer_shells()
    try:
        app(prog_name="genserve")
    except ModuleNotFoundError as error:
        raise missing_extra(" ".join(["genserve", *sys.argv[1:2]]), error) from error


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --version: of Python and the packages, too, as JSON.")
    ] = False,
) -> None:
    """Export text-generation checkpoints to self-contained SavedModels for TensorFlow Serving."""
    if version:
        print(json.dumps(installed()) if as_json else f"genserve {__version__}")
        raise typer.Exit
    if as_json:
        raise OptionError("--json stands behind the verb, or goes with --version")
    if context.invoked_subcommand is None:
        raise OptionError("give a verb; genserve --help lists them")
