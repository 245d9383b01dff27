"""The server's configuration messages, and their text format.

Their descriptors are built here from the documented fields (model_server_config.proto,
file_system_storage_path_source.proto, logging_config.proto, session_bundle_config.proto,
platform_config.proto, monitoring_config.proto, ssl_config.proto): enough to write the files with the protobuf
library and to parse them back with its strictness, on a machine that has no TensorFlow.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format

from exporter.descriptors import Messages

MESSAGES = Messages(
    "tensorflow.serving",
    """
    message ModelServerConfig {
        oneof config { ModelConfigList model_config_list = 1; google.protobuf.Any custom_model_config = 2; }
    }
    message ModelConfigList { repeated ModelConfig config = 1; }
    enum ModelType { MODEL_TYPE_UNSPECIFIED = 0; TENSORFLOW = 1; OTHER = 2; }
    message ModelConfig {
        string name = 1;
        string base_path = 2;
        ModelType model_type = 3;
        string model_platform = 4;
        LoggingConfig logging_config = 6;
        FileSystemStoragePathSourceConfig.ServableVersionPolicy model_version_policy = 7;
        map<string, int64> version_labels = 8;
    }
    message FileSystemStoragePathSourceConfig {
        message ServableVersionPolicy {
            message Latest { uint32 num_versions = 1; }
            message All {}
            message Specific { repeated int64 versions = 1; }
            oneof policy_choice { Latest latest = 100; All all = 101; Specific specific = 102; }
        }
    }
    message LogCollectorConfig { string type = 1; string filename_prefix = 2; }
    message SamplingConfig { double sampling_rate = 1; }
    message LoggingConfig {
        LogCollectorConfig log_collector_config = 1;
        SamplingConfig sampling_config = 2;
    }
    message BatchingParameters {
        google.protobuf.Int64Value max_batch_size = 1;
        google.protobuf.Int64Value batch_timeout_micros = 2;
        google.protobuf.Int64Value max_enqueued_batches = 3;
        google.protobuf.Int64Value num_batch_threads = 4;
        google.protobuf.StringValue thread_pool_name = 5;
        repeated int64 allowed_batch_sizes = 6;
        bool pad_variable_length_inputs = 7;
        google.protobuf.BoolValue enable_large_batch_splitting = 8;
        google.protobuf.Int64Value max_execution_batch_size = 9;
    }
    message PrometheusConfig { bool enable = 1; string path = 2; }
    message MonitoringConfig { PrometheusConfig prometheus_config = 1; }
    message SSLConfig {
        string server_key = 1;
        string server_cert = 2;
        string custom_ca = 3;
        bool client_verify = 4;
    }
    // The part of tensorflow.ConfigProto that we set, under its own field numbers.
    message GpuOptions { double per_process_gpu_memory_fraction = 1; bool allow_growth = 4; }
    message SessionConfig {
        int32 intra_op_parallelism_threads = 2;
        int32 inter_op_parallelism_threads = 5;
        GpuOptions gpu_options = 6;
    }
    message SessionBundleConfig {
        SessionConfig session_config = 2;
        BatchingParameters batching_parameters = 3;
        repeated string saved_model_tags = 5;
        bool enable_model_warmup = 779;
    }
    message SavedModelBundleSourceAdapterConfig { SessionBundleConfig legacy_config = 1000; }
    message PlatformConfig { google.protobuf.Any source_adapter_config = 1; }
    message PlatformConfigMap { map<string, PlatformConfig> platform_configs = 1; }
    """,
)

ModelServerConfig = MESSAGES.message("ModelServerConfig")


def new(name: str, **fields: Any) -> Any:
    """A message of this module by name, e.g. ``new("MonitoringConfig")``."""
    return MESSAGES.new(name, **fields)


def to_text(message: Any) -> str:
    """The text format, as the server's ``TextFormat::Parse`` reads it."""
    return text_format.MessageToString(message, descriptor_pool=MESSAGES.pool)


def from_text(text: str, message: Any) -> Any:
    """Parses into ``message`` and returns it; raises ``google.protobuf.text_format.ParseError``."""
    return text_format.Parse(text, message, descriptor_pool=MESSAGES.pool)
