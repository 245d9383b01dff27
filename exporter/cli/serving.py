"""``genserve config``, ``serve`` and ``warm``: deployment files, a server, its compilation cache."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from exporter.choices import Device, Engine, ServingVersion
from exporter.cli.quiet import loud

_Out = Annotated[Path, typer.Argument(help="Directory that genserve export wrote.", metavar="OUT")]


def config(
    out: _Out,
    options_file: Annotated[
        Path | None, typer.Option("--options", help="YAML file of serving options (docs/deploying.md).")
    ] = None,
    serving_version: Annotated[
        ServingVersion | None, typer.Option(help="TensorFlow Serving release.")
    ] = None,
    batching: Annotated[
        bool | None, typer.Option("--batching/--no-batching", help="Let the server merge requests.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Regenerate OUT/serving from the manifests, with the options given or those of the last time."""
    from exporter.deployment import ROLLOUT_OPTIONS, read_options, stored_options, write_serving_configs

    values = stored_options(out)
    if options_file is not None:
        # What promotions chose stays, unless the file chooses itself.
        chosen = {key: value for key, value in values.items() if key in ROLLOUT_OPTIONS}
        given = read_options(options_file)
        values = given if "version_labels" in given else chosen | given
    flags = {"serving_version": serving_version, "batching": batching}
    values |= {key: value for key, value in flags.items() if value is not None}
    paths = [str(path) for path in write_serving_configs(out, values)]
    print(json.dumps({"files": paths}, ensure_ascii=False) if as_json else "\n".join(paths))


def serve(
    out: _Out,
    engine: Annotated[Engine, typer.Option(help="auto: the real server where it is installed.")] = "auto",
    device: Annotated[Device, typer.Option(help="For the real servers.")] = "cpu",
    host: Annotated[str, typer.Option(help="Address that the preview server listens on.")] = "127.0.0.1",
    rest_port: Annotated[
        int | None, typer.Option(help="REST port; default: that of the serving options, 8501.")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(help="gRPC port; default: that of the serving options, 8500.")
    ] = None,
    options_file: Annotated[
        Path | None, typer.Option("--options", help="YAML file of serving options (docs/deploying.md).")
    ] = None,
) -> None:
    """Serve OUT: the preview server (for development and tests), or a real one with the emitted flags."""
    import logging

    from exporter.deployment import read_manifests, read_options, serving_options, stored_options
    from exporter.preview import launch

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    manifests = read_manifests(out)
    values = stored_options(out) if options_file is None else read_options(options_file)
    ports = {"rest_port": rest_port, "grpc_port": grpc_port}
    values |= {key: value for key, value in ports.items() if value is not None}
    chosen = launch.choose(engine)
    if chosen != "preview":
        loud()  # a real server's log is the user's, from its first line
    options = serving_options(values, manifests)
    status = launch.serve(out, manifests, options, engine=chosen, device=device, host=host)
    raise typer.Exit(status)


def warm(
    out: _Out,
    device: Annotated[Device, typer.Option(help="Where the server will run.")] = "cpu",
) -> None:
    """Replay the warmup of every version in OUT once: keep what XLA compiled, beside the models, and how long
    it took, for OUT/serving."""
    from exporter.deployment import exported_versions, read_manifests, write_serving_configs
    from exporter.preview.fill_cache import warm as run

    read_manifests(out)
    print(run(out, exported_versions(out), device))
    for manifest in read_manifests(out):
        batch = manifest.warmup.batch_seconds
        print(
            f"{manifest.name} version {manifest.version}: loaded and warmed up in "
            f"{manifest.warmup.seconds or 0:.1f} s"
            + (f", {batch:.3f} s a full batch" if batch is not None else "")
        )
    write_serving_configs(out)
