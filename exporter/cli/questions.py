"""``genserve inspect``, ``verify`` and ``verify-tokenizer``: questions before and after an export."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporter.choices import TokenizerReference
from exporter.cli.front import Ca, Timeout, TokenFile
from exporter.cli.values import endpoint
from exporter.errors import OptionError, UnsupportedError, VerificationError

if TYPE_CHECKING:
    from exporter.prompts.prefix import Prefix
    from exporter.spec import ModelSpec
    from exporter.verification import Report

_Inspected = Annotated[
    str,
    typer.Argument(
        help="Hugging Face directory, KerasHub preset, GGUF file, hub id or demo:NAME; a version "
        "OUT/NAME/VERSION, those of OUT/NAME, or of OUT.",
        metavar="MODEL",
    ),
]
_Model = Annotated[
    str,
    typer.Argument(
        help="Hugging Face directory, KerasHub preset, GGUF file, hub id, or demo:NAME.", metavar="MODEL"
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]


def inspect(
    model: _Inspected,
    revision: _Revision = None,
    prefix_text: Annotated[
        str | None, typer.Option(help="Say how much of this prompt prefix could be baked.")
    ] = None,
    hlo: Annotated[
        Path | None,
        typer.Option(
            help="Write what XLA makes of a version's programs in every bucket, as text.", metavar="DIR"
        ),
    ] = None,
    signature: Annotated[
        list[str] | None, typer.Option(help="With --hlo: only the program behind this one; repeatable.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Say what a checkpoint is and whether it can be exported (exits 4 if not); or what a version is, with a
    request for each of its signatures."""
    versions = _versions(Path(model))
    if hlo is not None:
        _write_hlo(model, versions, hlo, signature or [], as_json=as_json)
        return
    if signature:
        raise OptionError("--signature goes with --hlo DIR")
    if versions:
        _inspect_versions(model, versions, as_json=as_json)
        return
    from exporter.checkpoint import locate, tokenizer_files
    from exporter.inspection import inspect_checkpoint

    located = locate(model, revision)
    report = inspect_checkpoint(located.path, located.notes)
    if not as_json:
        print(report)
    with tokenizer_files(located.path) as directory:
        prefix = _prefix(model, prefix_text, directory, report.spec if report.supported else None)
    if as_json:
        baked = prefix and {"tokens": len(prefix.tokens), "rest": prefix.rest}
        print(json.dumps(report.as_json() | {"prefix": baked}, ensure_ascii=False))
    elif prefix is not None:
        print(f"prefix: {len(prefix.tokens)} tokens can be baked; {prefix.rest!r} goes with each request")
    if not report.supported:
        raise typer.Exit(UnsupportedError.exit_code)


def _versions(path: Path) -> list[Path]:
    """The version that ``path`` is, or those below it; none where it is a checkpoint or no directory."""
    if not path.is_dir() or (path / "config.json").exists():
        return []
    from exporter.deployment import exported_versions
    from exporter.manifest import MANIFEST_PATH

    if (path / MANIFEST_PATH).is_file():
        return [path]
    return exported_versions(path) or [one for one in exported_versions(path.parent) if one.parent == path]


def _inspect_versions(model: str, versions: list[Path], *, as_json: bool) -> None:
    from pydantic import ValidationError

    from exporter.exported_report import inspect_version

    try:
        reports = [inspect_version(version) for version in versions]
    except ValidationError as error:
        raise OptionError(
            f"a manifest cannot be read; genserve doctor says of which version: {error}"
        ) from None
    if as_json:
        print(json.dumps({"versions": [report.as_json() for report in reports]}, ensure_ascii=False))
        return
    print("\n\n".join(map(str, reports)))


def _write_hlo(
    model: str, versions: list[Path], directory: Path, signatures: list[str], *, as_json: bool
) -> None:
    if len(versions) != 1:
        what = f"holds {len(versions)} versions: name one" if versions else "is no exported version"
        raise OptionError(f"--hlo: {model} {what} (OUT/NAME/VERSION)")
    from pydantic import ValidationError

    from exporter.verification.hlo import write_hlo

    try:
        files = write_hlo(versions[0], directory, signatures)
    except ValidationError as error:
        raise OptionError(f"{versions[0]}: its manifest cannot be read: {error}") from None
    if as_json:
        found = [asdict(file) | {"path": str(file.path)} for file in files]
        print(json.dumps({"version_directory": str(versions[0]), "files": found}, ensure_ascii=False))
        return
    for file in files:
        bucket = f"{file.prompt_length} tokens x {file.batch_size} rows"
        print(f"{file.path}: {file.program} of {', '.join(file.signatures)}, {bucket}, {file.stage}")


def _prefix(model: str, text: str | None, path: Path, spec: ModelSpec | None) -> Prefix | None:
    """What could be baked of a prefix; None where none was asked about, or nothing can be exported."""
    if text is None or spec is None:
        return None
    from exporter.checkpoint import tokenizer_files
    from exporter.options import make_options
    from exporter.prompts.prefix import resolve_prefix

    with tokenizer_files(path) as folder:
        return resolve_prefix(make_options({"model": model, "prefix_text": text}), folder, spec)


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

    from exporter.checkpoint import locate, tokenizer_files
    from exporter.tokenizer import verify_tokenizer as run
    from exporter.tokenizer.oracles import compare_origins

    how: dict[str, Any] = {"count": strings, "special_tokens_in_text": special_tokens_in_text}
    with tokenizer_files(locate(model, revision, weights=False).path) as path:
        report = run(path, lines, origin=tokenizer_reference, **how)
        print(report)
        others = compare_origins(path, tokenizer_reference, lines, **how)
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
    url: Annotated[
        str | None, typer.Option(help="Ask this server instead: http://localhost:8501, grpc://..., ...")
    ] = None,
    grpc: Annotated[
        str | None,
        typer.Option(help="Ask this gRPC server; with --ca over TLS.", metavar="HOST:PORT"),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Ask for the version under this label of the server.")
    ] = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    timeout: Timeout = 120.0,
    warmup: Annotated[
        bool, typer.Option("--warmup/--no-warmup", help="Replay the warmup, and count what compiles.")
    ] = True,
    as_json: _Json = False,
) -> None:
    """Check files, graph and golden answers of an exported version, or of a server with it; exits 6 if any
    check fails."""
    from pydantic import ValidationError

    try:
        if url is None and grpc is None:
            from exporter.verification import verify as run

            report = run(version, warmup=warmup)
        else:
            report = _verify_server(version, endpoint(url, grpc, ca), label, token_file, ca, timeout)
    except (FileNotFoundError, NotADirectoryError, ValidationError) as error:
        raise OptionError(f"{version} is not a version that genserve exported: {error}") from None
    print_report(report, as_json=as_json)
    if report.failed:
        raise typer.Exit(VerificationError.exit_code)


def _verify_server(
    version: Path, address: str, label: str | None, token_file: Path | None, ca: Path | None, timeout: float
) -> Report:
    """The golden prompts against a live server."""
    from exporter.client import Client
    from exporter.client.address import read_token
    from exporter.manifest import Manifest
    from exporter.verification.live import verify_server

    manifest = Manifest.read(version)
    number = manifest.version if label is None else None
    token = read_token(None, token_file)
    with Client(
        address, manifest.name, version=number, label=label, token=token, ca=ca, timeout=timeout
    ) as client:
        return verify_server(version, client, address)


def print_report(report: Report, *, as_json: bool) -> None:
    """The checks as a table, or as one JSON object."""
    if as_json:
        print(json.dumps(report.as_json(), ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("check", "", "found", box=None, padding=(0, 2, 0, 0))
    for check in report.checks:
        table.add_row(check.name, check.status, check.detail)
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(table, markup=False)
    verdict = f"{len(report.failed)} of {len(report.checks)} checks failed" if report.failed else "verified"
    console.print(f"{report.directory}: {verdict}", soft_wrap=True)
    if prefix := report.manifest.prefix:
        baked = f"behind a prefix of {prefix.tokens} baked tokens, SHA-256 of its text {prefix.sha256}"
        console.print(f"  {baked}", soft_wrap=True)
