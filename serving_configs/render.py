"""All files of a deployment from the manifests: a pure function, and the writing of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from exporter import durable
from exporter.errors import OptionError
from exporter.manifest import Manifest
from serving_configs import (
    batching,
    compose,
    docker_run,
    dockerfile,
    guard,
    kubernetes,
    launcher,
    models_config,
    native_run,
    nginx,
    observability,
    server_files,
)
from serving_configs.releases import choose_release
from serving_configs.serving_options import ServingOptions

# Their owner alone may read them: a private key may stand in them.
_PRIVATE = {"ssl.config", "options.yaml"}


def render(manifests: Sequence[Manifest], options: ServingOptions | None = None) -> dict[str, str]:
    """File name (relative to ``OUT/serving``) -> text.

    Args:
      manifests: of every exported version of every model below one export directory.

    Raises:
      OptionError: nothing exported, a server too old for a model, labels or batching that cannot be served.
    """
    options = options or ServingOptions()
    if not manifests:
        raise OptionError("no manifests: nothing was exported, so there is nothing to serve")
    release = choose_release(options.serving_version, [manifest.tensorflow_version for manifest in manifests])
    files = {
        "models.config": models_config.render(manifests, options, options.model_root),
        "models-native.config": models_config.render(manifests, options, models_config.NATIVE_ROOT),
        "monitoring.config": server_files.monitoring(),
        "session.config": server_files.session(options),
        "platform.config": server_files.platform(manifests, options),
        "start-server.sh": launcher.start_server(),
        "healthcheck.sh": launcher.healthcheck(manifests, options),
        "run-gpu.sh": docker_run.render(manifests, options, release, "gpu"),
        "run-cpu.sh": docker_run.render(manifests, options, release, "cpu"),
    }
    files |= {
        "run.sh": native_run.render(manifests, options, release),
        "server-gpu.env": native_run.env_file(manifests, "gpu"),
        "server-cpu.env": native_run.env_file(manifests, "cpu"),
        "docker-compose.yaml": compose.render(manifests, options, release),
        "nginx.conf.template": nginx.render(
            options, timeout_seconds=batching.rest_timeout(manifests, options)
        ),
        guard.FILE: guard.render(manifests),
        "Dockerfile": dockerfile.render(manifests, options, release),
        "Dockerfile.dockerignore": dockerfile.ignore(),
        "prometheus-rules.yaml": observability.alerts(options),
        "grafana-dashboard.json": observability.dashboard(manifests, options),
    }
    if options.batching:
        files["batching.config"] = batching.render(manifests, options)
    if options.ssl:
        files["ssl.config"] = server_files.ssl(options.ssl)
    files |= kubernetes.render(manifests, options, release)
    return dict(sorted(files.items()))


def render_model_files(manifest: Manifest, options: ServingOptions | None = None) -> dict[str, str]:
    """File name (relative to the version directory) -> text, for files that the server reads per model."""
    options = options or ServingOptions()
    return {"batching_params.pbtxt": batching.render_model(manifest, options)} if options.batching else {}


def write(files: Mapping[str, str], directory: Path) -> None:
    """Writes each file whole or not at all; scripts become executable, files that may hold a key private."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600 if path.name in _PRIVATE else 0o755 if path.suffix == ".sh" else 0o644
        durable.write_text(path, text, mode)
    if files:
        durable.sync(directory)
