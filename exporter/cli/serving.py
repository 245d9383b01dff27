"""``genserve config``, ``serve`` and ``warm``: deployment files, a server, its compilation cache."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from exporter.errors import OptionError, did_you_mean

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
    """Regenerate OUT/serving from the manifests, with the options given or those of the last time."""
    from exporter.deployment import read_options, stored_options, write_serving_configs

    values = stored_options(out) if options_file is None else read_options(options_file)
    flags = {"serving_version": serving_version, "batching": batching}
    values |= {key: value for key, value in flags.items() if value is not None}
    for path in write_serving_configs(out, values):
        print(path)


def serve(
    out: _Out,
    engine: Annotated[str, typer.Option(help="auto, preview, tensorflow_model_server or docker.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu or gpu; for the real servers.")] = "cpu",
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

    _one_of("engine", engine, ("auto", "preview", "tensorflow_model_server", "docker"))
    _one_of("device", device, ("cpu", "gpu"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    manifests = read_manifests(out)
    values = stored_options(out) if options_file is None else read_options(options_file)
    ports = {"rest_port": rest_port, "grpc_port": grpc_port}
    values |= {key: value for key, value in ports.items() if value is not None}
    chosen: Any = {"engine": engine, "device": device}
    status = launch.serve(out, manifests, serving_options(values, manifests), host=host, **chosen)
    raise typer.Exit(status)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionError(f"{option}: {value!r}{did_you_mean(value, allowed)}; allowed: {', '.join(allowed)}")


def warm(
    out: _Out,
    device: Annotated[str, typer.Option(help="cpu or gpu: where the server will run.")] = "cpu",
) -> None:
    """Replay the warmup of every version in OUT once: keep what XLA compiled, beside the models, and how long
    it took, for OUT/serving."""
    from exporter.deployment import exported_versions, read_manifests, write_serving_configs
    from exporter.preview.fill_cache import warm as run

    _one_of("device", device, ("cpu", "gpu"))
    read_manifests(out)
    chosen: Any = device
    print(run(out, exported_versions(out), chosen))
    for manifest in read_manifests(out):
        batch = manifest.warmup.batch_seconds
        print(
            f"{manifest.name} version {manifest.version}: loaded and warmed up in "
            f"{manifest.warmup.seconds or 0:.1f} s"
            + (f", {batch:.3f} s a full batch" if batch is not None else "")
        )
    write_serving_configs(out)
