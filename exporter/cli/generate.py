"""``genserve generate``: prompts to a server, completions to the terminal."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporter.cli.front import Ca, Grpc, OpenAi, Retries, Timeout, Token, TokenFile, Url
from exporter.errors import OptionError, ServingError

if TYPE_CHECKING:
    from exporter.client.answers import Completion


def generate(
    model: Annotated[str, typer.Option(help="Servable name.")],
    url: Url = None,
    grpc: Grpc = None,
    openai: OpenAi = None,
    prompt: Annotated[list[str] | None, typer.Option(help="A prompt; repeatable. '-' reads stdin.")] = None,
    prompt_file: Annotated[
        Path | None, typer.Option(help="A file with one prompt per line; '-' is stdin.")
    ] = None,
    signature: Annotated[
        str | None,
        typer.Option(help="One that generates text; default: serving_default, with --option generate."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="A further input of the signature, KEY=VALUE; repeatable."),
    ] = None,
    version: Annotated[int | None, typer.Option(help="Version number.")] = None,
    label: Annotated[str | None, typer.Option(help="Version label.")] = None,
    rows_per_request: Annotated[
        int,
        typer.Option(
            help="Rows in one request; a batching server refuses more than its largest batch.", min=1
        ),
    ] = 1,
    timeout: Timeout = 120.0,
    retries: Retries = 3,
    token: Token = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    show_prompt: Annotated[
        bool, typer.Option("--show-prompt", help="Print each prompt before its completion.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per prompt.")] = False,
) -> None:
    """Send prompts to a server and print what it answers. Exits 7 if any row answered with an error."""
    from exporter.cli.values import alone, assignments, endpoint
    from exporter.client.address import read_token
    from exporter.client.blocking import Client

    served = {"--signature": signature, "--version": version, "--label": label}
    alone("--openai", openai, {"--url": url, "--grpc": grpc, **served})
    alone("--version", version, {"--label": label})
    if openai is not None:
        fields = assignments("option", option) or {}
        limits = {"timeout": timeout, "retries": retries, "token": read_token(token, token_file), "ca": ca}
        _complete(openai, model, _prompts(prompt, prompt_file), fields, limits, show_prompt, as_json)
        return
    prompts, values = _prompts(prompt, prompt_file), assignments("option", option) or {}
    if taken := sorted(values.keys() & {"prompts", "signature", "timeout"}):
        raise OptionError(f"option: {taken[0]!r} is no input of a signature")
    with Client(
        endpoint(url, grpc, ca),
        model,
        version=version,
        label=label,
        token=read_token(token, token_file),
        ca=ca,
        timeout=timeout,
        retries=retries,
    ) as client:
        failed = False
        for start in range(0, len(prompts), rows_per_request):
            rows = prompts[start : start + rows_per_request]
            options: dict[str, Any] = {key: [value] * len(rows) for key, value in values.items()}
            for answer in client.generate(rows, signature=signature, **options):
                _print(answer, show_prompt=show_prompt, as_json=as_json)
                failed |= bool(answer.error)
    if failed:
        raise typer.Exit(ServingError.exit_code)


def _complete(
    url: str,
    model: str,
    prompts: list[str],
    options: dict[str, Any],
    limits: dict[str, Any],
    show_prompt: bool,
    as_json: bool,
) -> None:
    """The prompts, one request each, to a server of OpenAI's API."""
    from exporter.client.openai_api import OpenAiClient

    if taken := sorted(options.keys() & {"model", "prompt", "stream"}):
        raise OptionError(f"option: {taken[0]!r} is set here already")
    failed = False
    with OpenAiClient(url, model, **limits) as client:
        for prompt in prompts:
            answer = client.complete(prompt, options)
            _print(answer, show_prompt=show_prompt, as_json=as_json)
            failed |= bool(answer.error)
    if failed:
        raise typer.Exit(ServingError.exit_code)


def _print(answer: Completion, *, show_prompt: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(answer), ensure_ascii=False))
    elif answer.error:
        print(f"error: {answer.error}", file=sys.stderr)
    else:
        for text in answer.texts:
            print(answer.prompt + text if show_prompt else text)


def _prompts(given: list[str] | None, file: Path | None) -> list[str]:
    """Prompts of the command line and of a file; ``-`` stands for stdin, read as one prompt per line."""
    from exporter.cli.values import alone

    alone("--prompt", given or None, {"--prompt-file": file})
    if file is None and given not in (None, [], ["-"]):
        return list(given or [])
    name = f"--prompt-file {file}" if file is not None else "stdin"
    prompts = _lines(name, None if file is None or str(file) == "-" else file)
    if not prompts:
        raise OptionError(f"{name}: no prompt")
    return prompts


def _lines(name: str, file: Path | None) -> list[str]:
    """Of a file or stdin. Whatever else Unicode counts as the end of a line is part of a prompt."""
    try:
        with file.open(encoding="utf-8") if file is not None else nullcontext(sys.stdin) as lines:
            return [line.removesuffix("\n") for line in lines]
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{name} cannot be read: {error}") from error
