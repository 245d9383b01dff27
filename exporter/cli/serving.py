"""``genserve config``, ``serve`` and ``generate``: deployment files, a server, a client."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporter.choices import Device, Engine, ServingVersion
from exporter.cli.quiet import loud
from exporter.errors import OptionError, ServingError

if TYPE_CHECKING:
    from exporter.client.generation import Client

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
    from exporter.deployment import read_options, stored_options, write_serving_configs

    values = stored_options(out) if options_file is None else read_options(options_file)
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


def generate(
    model: Annotated[str, typer.Option(help="Servable name.")],
    url: Annotated[str | None, typer.Option(help="REST endpoint, such as http://localhost:8501.")] = None,
    grpc: Annotated[str | None, typer.Option(help="gRPC endpoint, such as localhost:8500.")] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="A prompt; repeatable. '-' reads stdin.")] = None,
    prompt_file: Annotated[
        Path | None, typer.Option(help="A file with one prompt per line; '-' is stdin.")
    ] = None,
    signature: Annotated[str, typer.Option(help="A signature that generates text.")] = "serving_default",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="A further input of the signature, KEY=VALUE; repeatable."),
    ] = None,
    version: Annotated[int | None, typer.Option(help="Version number.")] = None,
    label: Annotated[str | None, typer.Option(help="Version label.")] = None,
    rows_per_request: Annotated[
        int, typer.Option(help="Rows in one request; a batching server refuses more than its largest batch.")
    ] = 1,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per prompt.")] = False,
) -> None:
    """Send prompts to a server and print the completions. Exits 7 if any row answered with an error."""
    from dataclasses import asdict

    from exporter.cli.values import assignments
    from exporter.client.generation import generate as run

    prompts = _prompts(prompt, prompt_file)
    inputs = {key: [value] * len(prompts) for key, value in (assignments("option", option) or {}).items()}
    if (url is None) == (grpc is None):
        raise OptionError("give either --url or --grpc")
    if version is not None and label is not None:
        raise OptionError("give --version or --label, not both")
    where: dict[str, Any] = {"version": version, "label": label, "timeout": timeout}
    answers = run(
        _client(url, grpc, model, where),
        prompts,
        signature=signature,
        inputs=inputs,
        rows_per_request=rows_per_request,
    )
    for answer in answers:
        if as_json:
            print(json.dumps(asdict(answer), ensure_ascii=False))
        elif answer.error:
            print(f"error: {answer.error}", file=sys.stderr)
        else:
            for text in answer.texts:
                print(answer.prompt + text)
    if any(answer.error for answer in answers):
        raise typer.Exit(ServingError.exit_code)


def _client(url: str | None, grpc: str | None, model: str, where: dict[str, Any]) -> Client:
    """A REST client needs neither gRPC nor the protos, which load TensorFlow."""
    if url is not None:
        from exporter.client.rest import RestClient

        return RestClient(url, model, **where)
    from exporter.client.grpc import GrpcClient

    return GrpcClient(str(grpc), model, **where)


def _prompts(given: list[str] | None, file: Path | None) -> list[str]:
    """Prompts of the command line and of a file; ``-`` stands for stdin, read as one prompt per line."""
    if file is not None and given:
        raise OptionError("give --prompt or --prompt-file, not both")
    if file is not None and str(file) != "-":
        try:
            return file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"--prompt-file {file} cannot be read: {error}") from error
    if file is not None or given in (None, [], ["-"]):
        return sys.stdin.read().splitlines()
    return list(given or [])


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
