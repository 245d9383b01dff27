"""``genserve inspect``, ``verify`` and ``verify-tokenizer``: questions before and after an export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exporter.errors import OptionError

_Model = Annotated[str, typer.Argument(help="Hugging Face directory, hub id, or demo:NAME.", metavar="MODEL")]
_Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]


def verify(
    version: Annotated[
        Path, typer.Argument(help="A version directory, OUT/NAME/VERSION.", metavar="VERSION")
    ],
) -> None:
    """Replay the golden answers of an exported version."""
    from pydantic import ValidationError

    from exporter.verify import verify_version

    try:
        count = verify_version(version)
    except (FileNotFoundError, ValidationError) as error:
        raise OptionError(f"{version} is not a version that genserve exported: {error}") from None
    print(f"{version}: {count} golden answers, all as exported")
