"""A local server with TensorFlow Serving's REST and gRPC surface, for development and tests.

Importing this package loads no TensorFlow; ``serve`` and ``PreviewServer`` do.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.preview.config import ServerConfig
    from exporter.preview.rest import Page
    from exporter.preview.server import PreviewServer

__all__ = ["PreviewServer", "ServerConfig", "fields_of_flags", "files_beside", "serve"]


def serve(
    model_config_file: Path | None = None,
    *,
    rest_port: int | None = 8501,
    grpc_port: int | None = 8500,
    host: str = "127.0.0.1",
    xla_cache: Path | None = None,
    page: Callable[[str], Page] | None = None,
    **flags: Any,
) -> None:
    """Serves until SIGINT or SIGTERM; blocks.

    Args:
      model_config_file: models.config; without it, ``model_name`` and ``model_base_path`` among ``flags``.
      xla_cache: root of compilation caches; one that does not fit this machine is logged and left alone.
      page: makes the routes of a page at the REST port's own address from HOST:PORT of the gRPC server.
      flags: the other fields of ``ServerConfig``, e.g. ``**files_beside(model_config_file)``.

    Raises:
      ServingError: a file is wrong, a model cannot be loaded or warmed up, or a port is taken.
    """
    if xla_cache is not None:
        _use_cache(xla_cache)
    from exporter.preview.config import ServerConfig
    from exporter.preview.server import serve

    serve(
        ServerConfig(
            model_config_file=model_config_file, rest_port=rest_port, grpc_port=grpc_port, host=host, **flags
        ),
        page,
    )


def _use_cache(root: Path) -> None:
    from serving_configs import xla_cache

    reason = xla_cache.activate(root) if "tensorflow" not in sys.modules else "TensorFlow is already loaded"
    message = (
        f"compilation cache {root} is not used: {reason}" if reason else f"using compilation cache {root}"
    )
    logging.getLogger(__name__).log(logging.WARNING if reason else logging.INFO, message)


# The real server's flag -> field of ServerConfig, where the preview server does what the flag says.
_FLAG_FIELDS = {
    "port": "grpc_port",
    "rest_api_port": "rest_port",
    "rest_api_timeout_in_ms": "rest_api_timeout_in_ms",
    "rest_api_num_threads": "rest_api_num_threads",
    "model_config_file": "model_config_file",
    "file_system_poll_wait_seconds": "poll_seconds",
    "enable_model_warmup": "enable_model_warmup",
    "monitoring_config_file": "monitoring_config_file",
    "batching_parameters_file": "batching_parameters_file",
    "enable_per_model_batching_parameters": "enable_per_model_batching_parameters",
    "ssl_config_file": "ssl_config_file",
    "allow_version_labels_for_unavailable_models": "allow_version_labels_for_unavailable_models",
}


def fields_of_flags(flags: Sequence[str]) -> dict[str, Any]:
    """``ServerConfig`` fields for a real server's ``--name=value`` flags, as far as there are any."""
    fields: dict[str, Any] = {}
    for flag in flags:
        name, _, value = flag.removeprefix("--").partition("=")
        if (field := _FLAG_FIELDS.get(name)) is None:
            continue
        if name.endswith("_file"):
            fields[field] = Path(value)
        else:
            fields[field] = value == "true" if value in ("true", "false") else int(value)
    return fields


def files_beside(model_config_file: Path) -> dict[str, Any]:
    """``ServerConfig`` fields for the rendered files that lie beside a models.config."""
    from google.protobuf import text_format

    from serving_configs import protos

    fields: dict[str, Any] = {}
    for field, name in (
        ("batching_parameters_file", "batching.config"),
        ("monitoring_config_file", "monitoring.config"),
        ("ssl_config_file", "ssl.config"),
    ):
        path = model_config_file.with_name(name)
        if path.exists():
            fields[field] = path
    own = model_config_file.parent.parent.glob("*/*/batching_params.pbtxt")
    if "batching_parameters_file" in fields and len({(p.parent.parent, p.read_bytes()) for p in own}) > 1:
        fields["enable_per_model_batching_parameters"] = True
    try:
        models = protos.from_text(model_config_file.read_text(encoding="utf-8"), protos.ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError):
        return fields  # the server says what is wrong with it
    if any(model.version_labels for model in models.model_config_list.config):
        fields["allow_version_labels_for_unavailable_models"] = True
    return fields


def __getattr__(name: str) -> Any:
    if name == "PreviewServer":
        from exporter.preview.server import PreviewServer

        return PreviewServer
    if name == "ServerConfig":
        from exporter.preview.config import ServerConfig

        return ServerConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
