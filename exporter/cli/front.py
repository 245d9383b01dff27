"""Options that every verb has which asks a server behind a front."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TokenFile = Annotated[
    Path | None, typer.Option(help="A file with the bearer token; or the variable GENSERVE_TOKEN.")
]
Ca = Annotated[Path | None, typer.Option(help="PEM file with the authority of the server's certificate.")]
