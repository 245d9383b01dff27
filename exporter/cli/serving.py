"""``genserve config``, ``serve`` and ``generate``: deployment files, a server, a client."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from exporter.errors import OptionError

_Out = Annotated[Path, typer.Argument(help="Directory that genserve export wrote.", metavar="OUT")]


def config(
    out: _Out,
    options_file: Annotated[
        Path | None, typer.Option("--options", help="YAML file of serving options (docs/deploying.md).")
    ] = None,
    serving_version: Annotated[
        str | None, typer.Option(help="TensorFlow Serving release: 2.19, 2.20 or 2.21.")
    ] = None,
    batching: Annotated[
        bool | None, typer.Option("--batching/--no-batching", help="Let the server merge requests.")
    ] = None,
) -> None:
    """Regenerate OUT/serving from the manifests of the exported versions."""
    flags = {"serving_version": serving_version, "batching": batching}
    values = {**_yaml(options_file), **{key: value for key, value in flags.items() if value is not None}}
    from exporter.pipeline import write_serving_configs

    for path in write_serving_configs(out, _serving_options(values)):
        print(path)


def _yaml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"--options {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise OptionError(f"--options {path}: needs a mapping of serving options")
    return content


def _serving_options(values: dict[str, Any]) -> Any:
    from pydantic import ValidationError
    from serving_configs import ServingOptions

    try:
        return ServingOptions.model_validate(values)
    except ValidationError as error:
        raise OptionError(f"serving options cannot be used: {error}") from None
