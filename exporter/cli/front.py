"""Options that every verb has which asks a server behind a front."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option(help="Endpoint: http://localhost:8501, https://..., grpc://localhost:8500 or grpcs://..."),
]
Grpc = Annotated[
    str | None, typer.Option(help="gRPC endpoint, HOST:PORT; with --ca over TLS.", metavar="HOST:PORT")
]
OpenAi = Annotated[
    str | None,
    typer.Option(help="A gateway, or another server of OpenAI's API, http(s)://HOST[:PORT].", metavar="URL"),
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for an answer.", min=0.001)]
Retries = Annotated[
    int, typer.Option(help="How often to repeat a request that the server has no room for.", min=0)
]
Token = Annotated[
    str | None, typer.Option(help="Bearer token of a front; other users of this machine may see it here.")
]
TokenFile = Annotated[
    Path | None, typer.Option(help="A file with the bearer token; or the variable GENSERVE_TOKEN.")
]
Ca = Annotated[Path | None, typer.Option(help="PEM file with the authority of the server's certificate.")]
