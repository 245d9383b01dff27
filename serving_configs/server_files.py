"""The server's small text-format files: monitoring.config, session.config, platform.config, ssl.config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporter.manifest import Manifest
from serving_configs import batching, protos
from serving_configs.serving_options import ServingOptions, SslOptions

METRICS_PATH = "/monitoring/prometheus/metrics"


def monitoring() -> str:
    """Prometheus metrics on the REST port."""
    config = protos.new("MonitoringConfig")
    config.prometheus_config.enable = True
    config.prometheus_config.path = METRICS_PATH
    return protos.to_text(config)


def _session(options: ServingOptions) -> Any:
    config = protos.new("SessionConfig")
    # Memory grows to what is used, so that a new version's server can start beside this one. The thread and
    # memory flags overwrite their fields of this file; this field survives them.
    config.gpu_options.allow_growth = True
    if options.intra_op_threads is not None:
        config.intra_op_parallelism_threads = options.intra_op_threads
    if options.inter_op_threads is not None:
        config.inter_op_parallelism_threads = options.inter_op_threads
    return config


def session(options: ServingOptions) -> str:
    """The fields of ``tensorflow.ConfigProto`` that matter here."""
    return protos.to_text(_session(options))


def platform(manifests: Sequence[Manifest], options: ServingOptions) -> str:
    """A ``PlatformConfigMap`` that says the same as the flags.

    Not used by the emitted commands: with ``--platform_config_file`` the server ignores ``--enable_batching``
    and the session flags. It is for embedders of the server's libraries.
    """
    adapter = protos.new("SavedModelBundleSourceAdapterConfig")
    bundle = adapter.legacy_config
    bundle.session_config.CopyFrom(_session(options))
    bundle.saved_model_tags.append("serve")
    bundle.enable_model_warmup = True
    if options.batching:
        bundle.batching_parameters.CopyFrom(batching.server_parameters(manifests, options))
    config = protos.new("PlatformConfigMap")
    config.platform_configs["tensorflow"].source_adapter_config.Pack(adapter)
    return protos.to_text(config)


def ssl(options: SslOptions) -> str:
    """TLS of the gRPC port. Holds the private key: keep the file readable by the server alone."""
    return protos.to_text(protos.new("SSLConfig", **options.model_dump()))
