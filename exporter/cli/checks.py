"""``genserve inspect``, ``verify`` and ``verify-tokenizer``: questions before and after an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporter.choices import TokenizerReference
from exporter.errors import OptionError, UnsupportedError, VerificationError

if TYPE_CHECKING:
    from exporter.prompts.prefix import Prefix
    from exporter.spec import ModelSpec

_Model = Annotated[str, typer.Argument(help="Hugging Face directory, hub id, or demo:NAME.", metavar="MODEL")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]


def inspect(
    model: _Model,
    revision: _Revision = None,
    prefix_text: Annotated[
        str | None, typer.Option(help="Say how much of this prompt prefix could be baked.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Say what a checkpoint is and whether it can be exported; exits 4 if not."""
    from exporter.checkpoint import locate
    from exporter.inspection import inspect_checkpoint

    located = locate(model, revision)
    report = inspect_checkpoint(located.path, located.notes)
    if not as_json:
        print(report)
    prefix = _prefix(model, prefix_text, located.path, report.spec if report.supported else None)
    if as_json:
        baked = prefix and {"tokens": len(prefix.tokens), "rest": prefix.rest}
        print(json.dumps(report.as_json() | {"prefix": baked}, ensure_ascii=False))
    elif prefix is not None:
        print(f"prefix: {len(prefix.tokens)} tokens can be baked; {prefix.rest!r} goes with each request")
    if not report.supported:
        raise typer.Exit(UnsupportedError.exit_code)


def _prefix(model: str, text: str | None, path: Path, spec: ModelSpec | None) -> Prefix | None:
    """What could be baked of a prefix; None where none was asked about, or nothing can be exported."""
    if text is None or spec is None:
        return None
    from exporter.options import make_options
    from exporter.prompts.prefix import resolve_prefix

    return resolve_prefix(make_options({"model": model, "prefix_text": text}), path, spec)


def verify_tokenizer(
    model: _Model,
    revision: _Revision = None,
    text: Annotated[list[Path] | None, typer.Option(help="A text file; its lines are checked too.")] = None,
    strings: Annotated[int, typer.Option(help="How many generated strings to check.", min=0)] = 2000,
    tokenizer_reference: Annotated[
        TokenizerReference,
        typer.Option(help="Whose tokens: the published files', or AutoTokenizer's of the installed version."),
    ] = "files",
    special_tokens_in_text: Annotated[
        bool, typer.Option("--special-tokens-in-text/--no-special-tokens-in-text")
    ] = True,
) -> None:
    """Compare the compiled tokenizer of MODEL with its reference, and the references with each other.

    Exits 6 where the tokenizer differs from its own reference.
    """
    lines = [line for path in text or [] for line in _lines(path)]

    from exporter.checkpoint import locate
    from exporter.tokenizer import verify_tokenizer as run
    from exporter.tokenizer.oracles import compare_origins

    path = locate(model, revision, weights=False).path
    report = run(
        path,
        lines,
        count=strings,
        origin=tokenizer_reference,
        special_tokens_in_text=special_tokens_in_text,
    )
    print(report)
    others = compare_origins(
        path, tokenizer_reference, lines, count=strings, special_tokens_in_text=special_tokens_in_text
    )
    if others is not None:
        print(others)
    if report.mismatches:
        raise typer.Exit(VerificationError.exit_code)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"--text {path} cannot be read: {error}") from error


def verify(
    version: Annotated[
        Path, typer.Argument(help="A version directory, OUT/NAME/VERSION.", metavar="VERSION")
    ],
    as_json: _Json = False,
) -> None:
    """Replay the golden answers of an exported version."""
    from pydantic import ValidationError

    from exporter.manifest import Manifest
    from exporter.verification import verify_version

    try:
        count = verify_version(version)
    except (FileNotFoundError, ValidationError) as error:
        raise OptionError(f"{version} is not a version that genserve exported: {error}") from None
    prefix = Manifest.read(version).prefix
    if as_json:
        baked = prefix and prefix.model_dump(mode="json")
        print(json.dumps({"version_directory": str(version), "golden_answers": count, "prefix": baked}))
        return
    print(f"{version}: {count} golden answers, all as exported")
    if prefix is not None:
        print(f"  behind a prefix of {prefix.tokens} baked tokens, SHA-256 of its text {prefix.sha256}")
