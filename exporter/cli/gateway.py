"""``genserve gateway``: OpenAI's API in front of model servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exporter.cli.front import Ca, TokenFile


def gateway(
    backend: Annotated[
        list[str], typer.Option(help="A model server, grpc://HOST:PORT or grpcs://...; repeatable.")
    ],
    manifest: Annotated[
        list[str],
        typer.Option(
            help="What the servers serve: a manifest, a version or an export directory, or a manifest's URL; "
            "repeatable.",
            metavar="PATH|URL",
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8080,
    keys: Annotated[
        Path | None, typer.Option(help="File of API keys: NAME KEY [REQUESTS_PER_MINUTE] a line.")
    ] = None,
    queue_depth: Annotated[
        int, typer.Option(help="Requests that may wait; beyond them the answer is 429.", min=0)
    ] = 128,
    timeout: Annotated[float, typer.Option(help="Seconds for a whole answer.", min=0.001)] = 300.0,
    max_body: Annotated[int, typer.Option(help="The most bytes of a request.", min=1)] = 4 << 20,
    retries: Annotated[
        int, typer.Option(help="How often to repeat a call while no server is available.", min=0)
    ] = 5,
    drain: Annotated[
        float, typer.Option(help="Seconds from SIGTERM to the closing of the port.", min=0)
    ] = 0.0,
    ui: Annotated[bool, typer.Option("--ui", help="Answer / with a page to try the models.")] = False,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Write requests' bodies to the log.")
    ] = False,
    token_file: TokenFile = None,
    ca: Ca = None,
) -> None:
    """Answer OpenAI's API from model servers: completions, chat, streams, tools. Runs until SIGTERM."""
    from exporter.client.address import read_token
    from exporter.gateway.app import Gateway
    from exporter.gateway.logs import to_stderr
    from exporter.gateway.models import Models, read_manifests
    from exporter.gateway.running import run
    from exporter.gateway.settings import Settings

    settings = Settings(
        queue_depth=queue_depth,
        timeout_seconds=timeout,
        max_body_bytes=max_body,
        keys=keys,
        log_prompts=log_prompts,
        ui=ui,
        drain_seconds=drain,
    )
    token = read_token(None, token_file)
    models = Models.open(read_manifests(manifest), backend, token=token, ca=ca, retries=retries)
    to_stderr()
    run(Gateway(models, settings), host=host, port=port)
