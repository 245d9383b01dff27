"""TensorFlow Serving releases that we emit for: image tags, and the flags each one knows.

The flag list is that of the server's ``main.cc``. A server stops on an unknown flag, so nothing is emitted
that the chosen release does not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from exporter.choices import ServingVersion
from exporter.errors import OptionError

_COMMON_FLAGS = frozenset(
    {
        "allow_version_labels_for_unavailable_models",
        "batching_parameters_file",
        "enable_batching",
        "enable_grpc_healthcheck_service",
        "enable_model_warmup",
        "enable_per_model_batching_parameters",
        "enable_profiler",
        "enable_serialization_as_tensor_content",
        "enable_signature_method_name_check",
        "file_system_poll_wait_seconds",
        "flush_filesystem_caches",
        "grpc_channel_arguments",
        "grpc_max_threads",
        "grpc_socket_path",
        "load_retry_interval_micros",
        "max_num_load_retries",
        "mixed_precision",
        "model_base_path",
        "model_config_file",
        "model_config_file_poll_wait_seconds",
        "model_name",
        "monitoring_config_file",
        "num_load_threads",
        "num_request_iterations_for_warmup",
        "num_unload_threads",
        "per_process_gpu_memory_fraction",
        "platform_config_file",
        "port",
        "remove_unused_fields_from_bundle_metagraph",
        "rest_api_enable_cors_support",
        "rest_api_num_threads",
        "rest_api_port",
        "rest_api_timeout_in_ms",
        "saved_model_tags",
        "skip_initialize_tpu",
        "ssl_config_file",
        "tensorflow_inter_op_parallelism",
        "tensorflow_intra_op_parallelism",
        "tensorflow_session_config_file",
        "tensorflow_session_parallelism",
        "thread_pool_factory_config_file",
        "use_alts_credentials",
        "version",
        "xla_cpu_compilation_enabled",
        "xla_gpu_compilation_enabled",
    }
)


@dataclass(frozen=True)
class Release:
    """One minor release of TensorFlow Serving.

    Attributes:
      version: ``"2.21"``; it runs models exported by this TensorFlow or an older one.
      tag: the image tag without ``-gpu``.
      cuda: the CUDA version inside the GPU image.
      flags: names of the server flags, without dashes.
    """

    version: ServingVersion
    tag: str
    cuda: str
    flags: frozenset[str]

    @property
    def cpu_image(self) -> str:
        return f"tensorflow/serving:{self.tag}"

    @property
    def gpu_image(self) -> str:
        return f"tensorflow/serving:{self.tag}-gpu"


RELEASES: dict[str, Release] = {
    release.version: release
    for release in (
        Release("2.19", "2.19.1", "12.2", _COMMON_FLAGS),
        Release("2.20", "2.20.0", "12.5", _COMMON_FLAGS),
        Release("2.21", "2.21.0", "12.5", _COMMON_FLAGS),
    )
}


def minor(version: str) -> tuple[int, int]:
    """``"2.21.0-rc1"`` -> ``(2, 21)``; raises OptionError for anything else."""
    parts = version.split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (IndexError, ValueError):
        raise OptionError(f"version {version!r} is not of the form MAJOR.MINOR[.PATCH]") from None


def choose_release(serving_version: str | None, tensorflow_versions: Iterable[str]) -> Release:
    """The release to emit for: the one asked for, or the oldest that runs every model.

    Raises:
      OptionError: an unknown release, or one older than a TensorFlow that exported a model.
    """
    newest = max((minor(version) for version in tensorflow_versions), default=minor("2.19"))
    if serving_version is None:
        for release in RELEASES.values():
            if minor(release.version) >= newest:
                return release
        raise OptionError(
            f"a model was exported by TensorFlow {newest[0]}.{newest[1]}, newer than every known server: "
            f"{', '.join(RELEASES)}"
        )
    if serving_version not in RELEASES:
        raise OptionError(f"serving_version {serving_version!r} is not known; allowed: {', '.join(RELEASES)}")
    if minor(serving_version) < newest:
        raise OptionError(
            f"serving_version {serving_version} is older than TensorFlow {newest[0]}.{newest[1]}, "
            "which exported a model; the server must be at least as new"
        )
    return RELEASES[serving_version]
