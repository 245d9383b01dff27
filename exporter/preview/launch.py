"""``genserve serve --engine``: the preview server, or a real one with exactly the emitted flags."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from exporter import preview
from exporter.choices import Engine
from exporter.errors import OptionError, ServingError, did_you_mean
from exporter.manifest import Manifest
from serving_configs import ServingOptions
from serving_configs.flags import server_flags
from serving_configs.releases import choose_release

if TYPE_CHECKING:
    from exporter.preview.rest import Page

ENGINES = get_args(Engine)
SERVER = "tensorflow_model_server"


def choose(engine: str) -> str:
    """Resolves "auto": the real server where it is installed, else the preview server.

    Raises:
      OptionError: no such engine.
      ServingError: the engine asked for is not on this machine; says what to use instead.
    """
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r}{did_you_mean(engine, ENGINES)}; allowed: {', '.join(ENGINES)}")
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
    try:
        answer = subprocess.run(
            [program, "version", "--format", "{{.Server.Version}}"], capture_output=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def command(engine: str, output: Path, device: str, options: ServingOptions) -> tuple[str, ...]:
    """The emitted script that starts a real server: its flags are the deployment's own.

    The ports of ``options`` come last and so win; in Docker they are those of the emitted script.
    """
    serving = output.resolve() / "serving"
    if engine == "docker":
        return (str(serving / f"run-{device}.sh"),)
    ports = (f"--port={options.grpc_port}", f"--rest_api_port={options.rest_port}")
    return (str(serving / "run.sh"), device, *ports)


def serve(
    output: Path,
    manifests: Sequence[Manifest],
    options: ServingOptions,
    *,
    engine: str = "auto",
    device: str = "cpu",
    host: str = "127.0.0.1",
    page: Callable[[str], Page] | None = None,
) -> int:
    """Serves an export directory until the server ends; returns its exit status.

    Args:
      output: the export directory, with the rendered files under ``serving/``.
      manifests: of its versions; every model must be in models.config.
      options: what the files were rendered with; the preview server takes all it knows of them, a real one
        the ports.
      page: of the preview server alone.

    Raises:
      ServingError: the engine is missing, the files are older than the models, or the preview server cannot
        start.
    """
    if device not in ("gpu", "cpu"):
        raise OptionError(f"device {device!r}; allowed: gpu, cpu")
    chosen = choose(engine)
    config = output / "serving" / "models.config"
    if not config.exists():
        raise ServingError(f"{config} is missing: export a model, or write the files with 'genserve config'")
    _check_models(config, manifests)
    cache = output / "xla-cache"
    if chosen == "preview":
        release = choose_release(options.serving_version, [m.tensorflow_version for m in manifests])
        flags = server_flags(manifests, options, release, "cpu", str(config.parent))
        preview.serve(
            host=host,
            xla_cache=cache if cache.is_dir() else None,
            page=page,
            **preview.fields_of_flags(flags),
        )
        return 0
    words = command(chosen, output, device, options)
    process = subprocess.Popen(words, env=os.environ | {"MODELS": str(output.resolve())})
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        return process.wait()


def _check_models(config: Path, manifests: Sequence[Manifest]) -> None:
    text = config.read_text(encoding="utf-8")
    missing = sorted({manifest.name for manifest in manifests if f'name: "{manifest.name}"' not in text})
    if missing:
        raise ServingError(
            f"{config} does not list {', '.join(missing)}: write it anew with 'genserve config'"
        )
