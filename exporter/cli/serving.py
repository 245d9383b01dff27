"""``genserve config``, ``serve`` and ``warm``: deployment files, a server, its compilation cache."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporter.choices import DeployTarget, Device, Engine, ServingVersion
from exporter.cli.quiet import loud
from exporter.cli.values import choices_of, listed
from exporter.errors import OptionError

if TYPE_CHECKING:
    from exporter.manifest import Manifest
    from exporter.preview.rest import Page
    from serving_configs import ServingOptions

_Place = Annotated[
    str, typer.Argument(help="Directory that genserve export wrote, or its URL.", metavar="OUT")
]


def config(
    out: _Place,
    options_file: Annotated[
        Path | None, typer.Option("--options", help="YAML file of serving options (docs/deploying.md).")
    ] = None,
    serving_version: Annotated[
        ServingVersion | None, typer.Option(help="TensorFlow Serving release.")
    ] = None,
    batching: Annotated[
        bool | None, typer.Option("--batching/--no-batching", help="Let the server merge requests.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Files for these too, beside Docker; '' for none (docs/kubernetes.md).",
            metavar=listed(DeployTarget),
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Regenerate OUT/serving from the manifests, with the options given or those of the last time."""
    from exporter.cli.versions import folder_of

    flags = {
        "serving_version": serving_version,
        "batching": batching,
        "source": _url(out),
        "targets": choices_of("--target", target, DeployTarget),
    }
    given = {key: value for key, value in flags.items() if value is not None}
    with folder_of(out, write=True) as folder:
        written = [path.relative_to(folder) for path in _write(folder, options_file, given)]
        said = _notes(folder)
    paths = [f"{out.rstrip('/')}/{path.as_posix()}" for path in written]
    if as_json:
        print(json.dumps({"files": paths, "notes": said}, ensure_ascii=False))
        return
    print("\n".join(paths))
    for note in said:
        print(f"note: {note}", file=sys.stderr)


def _write(out: Path, options_file: Path | None, given: dict[str, Any]) -> list[Path]:
    """The deployment files, with the kept options or those of the file, and what was ``given``."""
    from exporter.deployment import ROLLOUT_OPTIONS, read_options, stored_options, write_serving_configs

    values = stored_options(out)
    if options_file is not None:
        # What promotions chose stays, and where OUT came from, unless the file chooses itself.
        kept = {key: value for key, value in values.items() if key == "source"}
        chosen = {key: value for key, value in values.items() if key in ROLLOUT_OPTIONS}
        options = read_options(options_file)
        values = kept | (options if "version_labels" in options else chosen | options)
    return write_serving_configs(out, values | given)


def _notes(out: Path) -> list[str]:
    """What whoever starts a server with the files should know."""
    from exporter.deployment import read_manifests, serving_options, stored_options
    from serving_configs.notes import deployment_notes

    manifests = read_manifests(out)
    return list(map(str, deployment_notes(manifests, serving_options(stored_options(out), manifests))))


def _url(out: str) -> str | None:
    return out.rstrip("/") if "://" in out else None


def _local(out: str, verb: str) -> Path:
    """The folder; raises OptionError for a URL, which ``verb`` cannot act on."""
    if _url(out):
        raise OptionError(
            f"genserve {verb} needs the versions on the machine that serves them: "
            f"genserve pull {out} DIR, then genserve {verb} DIR"
        )
    return Path(out)


def serve(
    out: _Place,
    engine: Annotated[Engine, typer.Option(help="auto: the real server where it is installed.")] = "auto",
    device: Annotated[Device, typer.Option(help="For the real servers.")] = "cpu",
    host: Annotated[str, typer.Option(help="Address that the preview server listens on.")] = "127.0.0.1",
    rest_port: Annotated[
        int | None, typer.Option(help="REST port; default: that of the serving options, 8501.")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(help="gRPC port; default: that of the serving options, 8500.")
    ] = None,
    gateway_port: Annotated[
        int | None,
        typer.Option(
            help="Answer OpenAI's API too, and a page to try the models, on this port (docs/gateway.md)."
        ),
    ] = None,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="The preview server shows a page at / to try the models.")
    ] = True,
    options_file: Annotated[
        Path | None, typer.Option("--options", help="YAML file of serving options (docs/deploying.md).")
    ] = None,
) -> None:
    """Serve OUT: the preview server (for development and tests), or a real one with the emitted flags."""
    import logging
    from contextlib import nullcontext

    from exporter.deployment import read_manifests, read_options, serving_options, stored_options
    from exporter.preview import launch

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    folder = _local(out, "serve")
    manifests = read_manifests(folder)
    values = stored_options(folder) if options_file is None else read_options(options_file)
    ports = {"rest_port": rest_port, "grpc_port": grpc_port}
    values |= {key: value for key, value in ports.items() if value is not None}
    program = launch.choose(engine)
    if program != "preview":
        loud()  # a real server's log is the user's, from its first line
    options = serving_options(values, manifests)
    beside = nullcontext() if gateway_port is None else _gateway(manifests, options, host, gateway_port)
    shown = _page(manifests, options) if page and program == "preview" else None
    with beside:
        status = launch.serve(
            folder, manifests, options, engine=program, device=device, host=host, page=shown
        )
    raise typer.Exit(status)


def _page(manifests: Sequence[Manifest], options: ServingOptions) -> Callable[[str], Page] | None:
    """A gateway's page at the preview server's own address; None, with the reason in the log, where it cannot
    be."""
    import logging

    try:
        from exporter.gateway.app import Gateway
        from exporter.gateway.models import Models
        from exporter.gateway.settings import Settings

        if options.ssl is not None:
            raise OptionError("it asks the server without TLS, which the serving options have")
        Models.open(manifests, ["grpc://localhost:1"])
    except (ImportError, OptionError) as error:
        logging.getLogger("genserve.gateway").warning("no page to try the models: %s", error)
        return None

    def page(target: str) -> Page:
        models = Models.open(manifests, [f"grpc://{_near(target)}"])
        return Gateway(models, Settings(ui=True)).page_routes, models.close

    return page


def _near(target: str) -> str:
    """HOST:PORT as this machine reaches it."""
    host, _, port = target.rpartition(":")
    return f"{'127.0.0.1' if host in ('0.0.0.0', 'localhost') else host}:{port}"


@contextmanager
def _gateway(manifests: Sequence[Manifest], options: ServingOptions, host: str, port: int) -> Iterator[None]:
    """A gateway with its page beside the server; the page says that a model is missing until it is loaded."""
    import logging

    from exporter.gateway.app import Gateway
    from exporter.gateway.models import Models
    from exporter.gateway.running import beside
    from exporter.gateway.settings import Settings

    models = Models.open(manifests, [f"grpc://{_near(f'{host}:{options.grpc_port}')}"])
    with beside(Gateway(models, Settings(ui=True)), host=host, port=port) as url:
        logging.getLogger("genserve.gateway").info("OpenAI's API and a page to try the models: %s", url)
        yield


def warm(
    out: _Place,
    device: Annotated[Device, typer.Option(help="Where the server will run.")] = "cpu",
) -> None:
    """Replay the warmup of every version in OUT once: keep what XLA compiled, beside the models, and how long
    it took, for OUT/serving."""
    from exporter.deployment import exported_versions, read_manifests, write_serving_configs
    from exporter.preview.fill_cache import warm as run

    folder = _local(out, "warm")
    read_manifests(folder)
    print(run(folder, exported_versions(folder), device))
    for manifest in read_manifests(folder):
        batch = manifest.warmup.batch_seconds
        print(
            f"{manifest.name} version {manifest.version}: loaded and warmed up in "
            f"{manifest.warmup.seconds or 0:.1f} s"
            + (f", {batch:.3f} s a full batch" if batch is not None else "")
        )
    write_serving_configs(folder)
