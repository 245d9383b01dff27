"""``genserve serve --engine``: the preview server, or a real one with exactly the emitted flags."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from exporter import preview
from exporter.errors import ServingError
from exporter.saved_model.manifest import Manifest
from serving_configs import ServingOptions
from serving_configs.docker_run import environment
from serving_configs.flags import Device, server_flags
from serving_configs.versions import choose_release

Engine = Literal["auto", "preview", "tensorflow_model_server", "docker"]
SERVER = "tensorflow_model_server"


@dataclass(frozen=True)
class Command:
    """A server process: program, arguments, and variables added to the environment."""

    arguments: tuple[str, ...]
    environment: dict[str, str]


def choose(engine: Engine) -> Engine:
    """Resolves "auto": the real server where it is installed, else the preview server.

    Raises:
      ServingError: the engine asked for is not on this machine; says what to install or use instead.
    """
    if engine == "auto":
        return "tensorflow_model_server" if shutil.which(SERVER) else "preview"
    if engine == "tensorflow_model_server" and not shutil.which(SERVER):
        raise ServingError(f"--engine {engine}: {SERVER} is not on PATH; use --engine preview or docker")
    if engine == "docker" and not _docker_runs():
        raise ServingError("--engine docker: no running Docker daemon; use --engine preview")
    return engine


def _docker_runs() -> bool:
    program = shutil.which("docker")
    if program is None:
        return False
    answer = subprocess.run(
        [program, "version", "--format", "{{.Server.Version}}"], capture_output=True, timeout=20
    )
    return answer.returncode == 0


def native_command(
    output: Path, manifests: Sequence[Manifest], options: ServingOptions, device: Device, scratch: Path
) -> Command:
    """The command for a server on this machine; writes models.config with local paths into ``scratch``.

    The other files are read from ``OUT/serving``; only base paths differ outside a container.
    """
    release = choose_release(options.serving_version, [manifest.tensorflow_version for manifest in manifests])
    serving = output / "serving"
    root = f'base_path: "{options.model_root}/'
    text = (serving / "models.config").read_text(encoding="utf-8")
    (scratch / "models.config").write_text(
        text.replace(root, f'base_path: "{output.resolve()}/'), encoding="utf-8"
    )
    flags = server_flags(manifests, options, release, device, str(serving.resolve()))
    models = f"--model_config_file={serving.resolve()}/models.config"
    flags = [f"--model_config_file={scratch}/models.config" if flag == models else flag for flag in flags]
    return Command((SERVER, *flags), environment(manifests, device))


def docker_command(output: Path, device: Device) -> Command:
    """The emitted run script."""
    return Command((str(output / "serving" / f"run-{device}.sh"),), {"MODELS": str(output.resolve())})


def serve(
    output: Path,
    manifests: Sequence[Manifest],
    options: ServingOptions,
    *,
    engine: Engine = "auto",
    device: Device = "cpu",
    host: str = "127.0.0.1",
) -> int:
    """Serves an export directory until the server ends; returns its exit status.

    Args:
      output: the export directory, with the rendered files under ``serving/``.

    Raises:
      ServingError: the engine is missing, or the preview server cannot start.
    """
    chosen = choose(engine)
    config = output / "serving" / "models.config"
    if not config.exists():
        raise ServingError(f"{config} is missing: export a model, or write the files with 'genserve config'")
    cache = output / "xla-cache"
    if chosen == "preview":
        preview.serve(
            config,
            rest_port=options.rest_port,
            grpc_port=options.grpc_port,
            host=host,
            xla_cache=cache if cache.is_dir() else None,
            poll_seconds=options.poll_seconds,
            rest_api_timeout_in_ms=round(options.rest_timeout_seconds * 1000),
            **preview.files_beside(config),
        )
        return 0
    with tempfile.TemporaryDirectory(prefix="genserve-") as scratch:
        if chosen == "docker":
            command = docker_command(output, device)
        else:
            command = native_command(output, manifests, options, device, Path(scratch))
        process = subprocess.Popen(command.arguments, env=os.environ | command.environment)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            return process.wait()
