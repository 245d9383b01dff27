"""The flags that a server is started with: one list, used by every run file and by ``genserve serve``."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.choices import Device
from exporter.manifest import Manifest
from serving_configs import batching
from serving_configs.gpu_memory import gpu_memory_fraction
from serving_configs.releases import Release
from serving_configs.serving_options import ServingOptions


def server_flags(
    manifests: Sequence[Manifest],
    options: ServingOptions,
    release: Release,
    device: Device,
    config_dir: str,
    models_config: str = "models.config",
) -> list[str]:
    """``["--port=8500", ...]`` for one server process.

    Args:
      config_dir: where the server finds the rendered files.
      models_config: which of them names the models.
    """
    values: dict[str, object] = {
        "port": options.grpc_port,
        "rest_api_port": options.rest_port,
        "rest_api_timeout_in_ms": round(batching.rest_timeout(manifests, options) * 1000),
        "model_config_file": f"{config_dir}/{models_config}",
        "model_config_file_poll_wait_seconds": options.poll_seconds,
        "file_system_poll_wait_seconds": options.poll_seconds,
        # A model that cannot load stays broken: stop at once instead of retrying five times a minute apart.
        "max_num_load_retries": 0,
        "load_retry_interval_micros": 0,
        "enable_model_warmup": True,
        "enable_profiler": False,
        "enable_grpc_healthcheck_service": True,
        "monitoring_config_file": f"{config_dir}/monitoring.config",
        "tensorflow_session_config_file": f"{config_dir}/session.config",
        # The flag for GPUs enables the CPU compiler too; without either, the first compiled call fails.
        f"xla_{device}_compilation_enabled": True,
    }
    if options.version_labels or options.poll_seconds:
        # A label may come with the version that it names, at the start or while the server watches the file.
        values["allow_version_labels_for_unavailable_models"] = True
    if options.batching:
        values["enable_batching"] = True
        values["grpc_max_threads"] = values["rest_api_num_threads"] = batching.handler_threads(options)
        values["batching_parameters_file"] = f"{config_dir}/batching.config"
        if batching.differ(manifests, options):
            values["enable_per_model_batching_parameters"] = True
    if options.ssl:
        values["ssl_config_file"] = f"{config_dir}/ssl.config"
    fraction = gpu_memory_fraction(manifests, options) if device == "gpu" else None
    if fraction is not None:
        values["per_process_gpu_memory_fraction"] = fraction
    unknown = sorted(set(values) - release.flags)
    assert not unknown, f"TensorFlow Serving {release.version} does not know {unknown}"
    return [f"--{name}={_text(value)}" for name, value in values.items()]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
