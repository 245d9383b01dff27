"""The preview server's flags, and the files that they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import text_format

from exporter.errors import ServingError
from serving_configs import protos


@dataclass(frozen=True)
class ServerConfig:
    """The flags that the preview server knows, under the real server's names.

    Attributes:
      model_config_file: models.config; or ``model_name`` and ``model_base_path`` for a single model.
      rest_port, grpc_port: 0 is any free port (see ``PreviewServer.rest_port``), None is none.
      host: the address to listen on; the real server listens on every one.
      batching_parameters_file: merges requests; None leaves every request alone.
      enable_per_model_batching_parameters: reads ``batching_params.pbtxt`` of each version instead; a
        version without one is not batched.
      rest_api_num_threads: REST requests in work at once, status calls included; more wait.
      hang_on_empty_batches: no flag of the real server, but what it does: while batching is on, a request of
        no rows is never answered and keeps its thread. Off, such a request is refused.
      poll_seconds: how often models.config and the version folders are looked at; 0: once.
    """

    model_config_file: Path | None = None
    model_name: str = "default"
    model_base_path: Path | None = None
    rest_port: int | None = 8501
    grpc_port: int | None = 8500
    host: str = "127.0.0.1"
    rest_api_timeout_in_ms: int = 30_000
    batching_parameters_file: Path | None = None
    enable_per_model_batching_parameters: bool = False
    monitoring_config_file: Path | None = None
    ssl_config_file: Path | None = None
    allow_version_labels_for_unavailable_models: bool = False
    enable_model_warmup: bool = True
    rest_api_num_threads: int = 128
    hang_on_empty_batches: bool = False
    poll_seconds: float = 1.0


def _parse(path: Path, name: str) -> Any:
    try:
        return protos.from_text(path.read_text(encoding="utf-8"), protos.new(name))
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ServingError(f"{path}: {error}") from None


def metrics_path(file: Path | None) -> str | None:
    if file is None:
        return None
    prometheus = _parse(file, "MonitoringConfig").prometheus_config
    return (prometheus.path or "/monitoring/prometheus/metrics") if prometheus.enable else None


def credentials(file: Path | None) -> Any:
    if file is None:
        return None
    config = _parse(file, "SSLConfig")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
