"""The rendered files say what the manifests say, in the forms the server parses."""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tensorflow_serving.config import model_server_config_pb2

from exporter.errors import OptionError
from exporter.saved_model.manifest import Buckets, WarmupInfo
from serving_configs import RELEASES, ServingOptions, SslOptions, protos, render, render_model_files, write
from serving_configs.memory import planned_bytes
from tests.conftest import ROOT
from tests.serving_configs.manifests import manifest

PEM = '-----BEGIN X-----\nline "quoted" \\ and\n-----END X-----\n'


def docker_words(script: str) -> list[str]:
    """The words of the ``docker run`` command at a script's end."""
    command = script[script.index("exec docker run") :].replace("\\\n", " ")
    return shlex.split(command)


def test_models_config_is_parsed_back_by_the_real_proto() -> None:
    options = ServingOptions(version_policy="all", version_labels={"stories": {"stable": 1, "canary": 3}})
    manifests = [manifest(version=3), manifest(version=1), manifest("chat", 7)]
    text = render(manifests, options)["models.config"]
    config = protos.from_text(text, model_server_config_pb2.ModelServerConfig())
    stories, chat = config.model_config_list.config
    assert (stories.name, stories.base_path, stories.model_platform) == (
        "stories",
        "/models/stories",
        "tensorflow",
    )
    assert stories.model_version_policy.WhichOneof("policy_choice") == "all"
    assert dict(stories.version_labels) == {"stable": 1, "canary": 3}
    assert (chat.name, chat.base_path) == ("chat", "/models/chat")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ServingOptions(num_versions=2), ("latest", 2)),
        (ServingOptions(version_policy="specific"), ("specific", [1, 3])),
    ],
)
def test_version_policies(options: ServingOptions, expected: tuple[str, object]) -> None:
    text = render([manifest(version=3), manifest(version=1)], options)["models.config"]
    policy = (
        protos.from_text(text, protos.ModelServerConfig()).model_config_list.config[0].model_version_policy
    )
    choice = policy.WhichOneof("policy_choice")
    value = policy.latest.num_versions if choice == "latest" else list(policy.specific.versions)
    assert (choice, value) == expected


def test_labels_of_versions_that_are_not_loaded_are_refused_together() -> None:
    options = ServingOptions(version_labels={"stories": {"stable": 1}, "storys": {"x": 1}})
    with pytest.raises(OptionError) as caught:
        render([manifest(version=1), manifest(version=2)], options)
    message = str(caught.value)
    assert "version 1 is not loaded by policy 'latest'; loaded: [2]" in message
    assert "did you mean 'stories'?" in message


def test_the_gpu_command_line() -> None:
    words = docker_words(render([manifest(tensorflow_version="2.21.0")])["run-gpu.sh"])
    assert "--xla_gpu_compilation_enabled=true" in words
    assert "NVIDIA_TF32_OVERRIDE=0" in words
    assert "${IMAGE:-tensorflow/serving:2.21.0-gpu}" in words
    assert words[words.index("--gpus") + 1] == "${GPUS:-device=0}"
    assert "--model_config_file=/models/serving/models.config" in words


def test_the_cpu_command_line() -> None:
    words = docker_words(render([manifest()])["run-cpu.sh"])
    assert "--xla_cpu_compilation_enabled=true" in words
    assert "${IMAGE:-tensorflow/serving:2.19.1}" in words
    assert "--gpus" not in words
    assert not any("TF32" in word for word in words)


def test_half_precision_leaves_tensor_cores_alone() -> None:
    model = manifest().model.model_copy(update={"dtype": "bfloat16"})
    assert "TF32" not in render([manifest(model=model)])["run-gpu.sh"]


@pytest.mark.parametrize("version", list(RELEASES))
def test_only_flags_that_the_release_knows(version: str) -> None:
    options = ServingOptions(
        serving_version=version,
        version_labels={"stories": {"stable": 1}},
        gpu_memory_gib=24,
        ssl=SslOptions(server_key=PEM, server_cert=PEM),
    )
    for script in ("run-gpu.sh", "run-cpu.sh"):
        words = docker_words(render([manifest(), manifest("chat")], options)[script])
        image = words.index(next(word for word in words if word.startswith("${IMAGE")))
        flags = {word[2:].split("=")[0] for word in words[image:] if word.startswith("--")}
        assert flags <= RELEASES[version].flags
        assert "enable_batching" in flags
        assert RELEASES[version].tag in words[image]


def test_a_server_older_than_the_exporter_is_refused() -> None:
    with pytest.raises(OptionError, match=r"2\.19 is older than TensorFlow 2\.20"):
        render(
            [manifest(), manifest(version=2, tensorflow_version="2.20.0")],
            ServingOptions(serving_version="2.19"),
        )
    with pytest.raises(OptionError, match=r"allowed: 2\.19, 2\.20, 2\.21"):
        render([manifest()], ServingOptions(serving_version="2.18"))
    with pytest.raises(OptionError, match="newer than every known server"):
        render([manifest(tensorflow_version="2.30.0")])


def test_the_oldest_server_that_runs_every_model_is_the_default() -> None:
    words = docker_words(render([manifest(), manifest(version=2, tensorflow_version="2.20.0")])["run-gpu.sh"])
    assert any("tensorflow/serving:2.20.0-gpu" in word for word in words)


def check_server_rules(text: str) -> None:
    """What the server checks when it reads a batching file."""
    parameters = protos.from_text(text, protos.new("BatchingParameters"))
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == parameters.max_batch_size.value
    assert parameters.max_enqueued_batches.value >= 1
    assert not parameters.pad_variable_length_inputs


def test_batching_files_hold_the_buckets() -> None:
    small, large = manifest(), manifest("chat", buckets=Buckets(prompt_lengths=(64,), batch_sizes=(2, 16)))
    text = render([small, large])["batching.config"]
    check_server_rules(text)
    assert list(protos.from_text(text, protos.new("BatchingParameters")).allowed_batch_sizes) == [2, 16]
    for model in (small, large):
        own = render_model_files(model)["batching_params.pbtxt"]
        check_server_rules(own)
        parameters = protos.from_text(own, protos.new("BatchingParameters"))
        assert tuple(parameters.allowed_batch_sizes) == model.buckets.batch_sizes
        assert not parameters.HasField("num_batch_threads")
    assert "--enable_per_model_batching_parameters=true" in docker_words(render([small, large])["run-gpu.sh"])
    assert "--enable_per_model_batching_parameters=true" not in docker_words(render([small])["run-gpu.sh"])


def test_the_queue_keeps_the_latency_goal() -> None:
    options = ServingOptions(latency_goal_seconds=10, batch_seconds=2.5)
    text = render([manifest()], options)["batching.config"]
    parameters = protos.from_text(text, protos.new("BatchingParameters"))
    # Three waiting batches of 2.5 s and the running one: 10 s.
    assert parameters.max_enqueued_batches.value == 3
    assert parameters.batch_timeout_micros.value == 50_000
    assert parameters.num_batch_threads.value == 1


def queue(options: ServingOptions, **changes: Any) -> int:
    text = render([manifest(**changes)], options)["batching.config"]
    parameters = protos.from_text(text, protos.new("BatchingParameters"))
    return int(parameters.max_enqueued_batches.value)


MEASURED = WarmupInfo(records=6, seconds=12.5, batch_seconds=2.5, device="cpu")


def test_the_queue_holds_the_stated_clients() -> None:
    """A client has one request in flight, and a request fills at most one batch."""
    assert queue(ServingOptions()) == 64
    assert queue(ServingOptions(concurrent_clients=200)) == 200
    # Measured by "genserve warm": three batches wait within the goal of 10 s; with the running one they
    # hold 32 rows.
    assert queue(ServingOptions(), warmup=MEASURED) == 3
    assert queue(ServingOptions(batch_seconds=0.5), warmup=MEASURED) == 19
    assert queue(ServingOptions(concurrent_clients=2), warmup=MEASURED) == 2
    assert queue(ServingOptions(concurrent_clients=32), warmup=MEASURED) == 3
    with pytest.raises(OptionError, match=r"33 concurrent_clients fill 5 batches, 12\.5 s at 2\.5 s a batch"):
        queue(ServingOptions(concurrent_clients=33), warmup=MEASURED)


def test_each_model_has_a_queue_for_its_own_speed() -> None:
    fast = WarmupInfo(records=6, seconds=1.0, batch_seconds=0.1, device="cpu")
    lengths = []
    for model in (manifest(warmup=MEASURED), manifest(version=2, warmup=fast)):
        text = render_model_files(model)["batching_params.pbtxt"]
        lengths.append(protos.from_text(text, protos.new("BatchingParameters")).max_enqueued_batches.value)
    assert lengths == [3, 99]
    words = docker_words(render([manifest(warmup=MEASURED), manifest(version=2, warmup=fast)])["run-cpu.sh"])
    assert "--enable_per_model_batching_parameters=true" in words


def rest_timeouts(options: ServingOptions, **changes: Any) -> set[str]:
    """In seconds, wherever one is written."""
    files = render([manifest(**changes)], options)
    (flag,) = {w for w in docker_words(files["run-cpu.sh"]) if w.startswith("--rest_api_timeout_in_ms=")}
    front = set(re.findall(r"_read_timeout (\d+)s", files["nginx.conf.template"]))
    grace = re.findall(r"stop_grace_period: (\d+)s", files["docker-compose.yaml"])
    return front | set(grace) | {f"{int(flag.partition('=')[2]) / 1000:g}"}


def test_rest_requests_are_given_up_when_the_queue_cannot_explain_it() -> None:
    assert rest_timeouts(ServingOptions()) == {"120"}
    assert rest_timeouts(ServingOptions(rest_timeout_seconds=45)) == {"45"}
    assert rest_timeouts(ServingOptions(batch_seconds=0.001)) == {"30"}
    # Four batches of 2.5 s, three times over.
    assert rest_timeouts(ServingOptions(), warmup=MEASURED) == {"30"}
    assert rest_timeouts(ServingOptions(latency_goal_seconds=50), warmup=MEASURED) == {"150"}


def test_every_client_has_a_thread() -> None:
    """With fewer, gRPC calls are refused with RESOURCE_EXHAUSTED, and REST requests cannot fill a batch."""
    for options, threads in ((ServingOptions(), 80), (ServingOptions(concurrent_clients=200), 216)):
        words = docker_words(render([manifest()], options)["run-gpu.sh"])
        assert {f"--grpc_max_threads={threads}", f"--rest_api_num_threads={threads}"} <= set(words)
    words = docker_words(render([manifest()], ServingOptions(batching=False))["run-gpu.sh"])
    assert not any("_threads=" in word for word in words)


def test_batching_needs_row_errors_as_data() -> None:
    raising = manifest(options={"row_errors": "raise"})
    with pytest.raises(OptionError, match="one bad row would fail every client"):
        render([raising])
    files = render([raising], ServingOptions(batching=False))
    assert "batching.config" not in files
    assert "batching" not in files["run-gpu.sh"]
    assert render_model_files(raising, ServingOptions(batching=False)) == {}


def test_small_server_files() -> None:
    files = render(
        [manifest()], ServingOptions(intra_op_threads=4, ssl=SslOptions(server_key=PEM, server_cert=PEM))
    )
    monitoring = protos.from_text(files["monitoring.config"], protos.new("MonitoringConfig"))
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"
    session = protos.from_text(files["session.config"], protos.new("SessionConfig"))
    assert session.gpu_options.allow_growth
    assert session.intra_op_parallelism_threads == 4
    ssl = protos.from_text(files["ssl.config"], protos.new("SSLConfig"))
    assert (ssl.server_key, ssl.server_cert, ssl.client_verify) == (PEM, PEM, False)
    platform = protos.from_text(files["platform.config"], protos.new("PlatformConfigMap"))
    packed = platform.platform_configs["tensorflow"].source_adapter_config
    adapter = protos.new("SavedModelBundleSourceAdapterConfig")
    assert packed.Unpack(adapter)
    assert adapter.legacy_config.batching_parameters.max_batch_size.value == 8


def test_platform_config_is_the_servers_own_message() -> None:
    """The descriptor built here must agree with the package's, where the package has it (2.19 has not)."""
    real = pytest.importorskip("tensorflow_serving.config.platform_config_pb2")
    files = render([manifest()], ServingOptions())
    ours = protos.from_text(files["platform.config"], protos.new("PlatformConfigMap"))
    parsed = real.PlatformConfigMap.FromString(ours.SerializeToString())
    packed = parsed.platform_configs["tensorflow"].source_adapter_config
    assert packed.type_url.endswith("/tensorflow.serving.SavedModelBundleSourceAdapterConfig")
    assert packed.value


def test_session_config_is_tensorflows_own_message() -> None:
    """The descriptors built here must agree with TensorFlow's, field for field."""
    config_pb2 = pytest.importorskip("tensorflow.core.protobuf.config_pb2")
    files = render([manifest()], ServingOptions(intra_op_threads=4, inter_op_threads=2))
    from google.protobuf import text_format

    config = text_format.Parse(files["session.config"], config_pb2.ConfigProto())
    assert config.gpu_options.allow_growth
    ours = protos.from_text(files["session.config"], protos.new("SessionConfig"))
    assert config_pb2.ConfigProto.FromString(ours.SerializeToString()) == config


def test_ssl_options_are_checked() -> None:
    with pytest.raises(ValidationError, match="server_key is not a PEM text"):
        SslOptions(server_key="/etc/key.pem", server_cert=PEM)
    with pytest.raises(ValidationError, match="client_verify needs custom_ca"):
        SslOptions(server_key=PEM, server_cert=PEM, client_verify=True)


def test_gpu_memory_is_planned() -> None:
    memory = manifest().memory.model_copy(update={"weights_bytes": 10 << 30})
    big = manifest(memory=memory)
    words = docker_words(render([big], ServingOptions(gpu_memory_gib=24))["run-gpu.sh"])
    flag = next(word for word in words if word.startswith("--per_process_gpu_memory_fraction="))
    assert 14.5 / 24 <= float(flag.split("=")[1]) <= 0.62  # 10 GiB * 1.35 + 1 GiB
    with pytest.raises(OptionError, match=r"the models need about 14\.5 GiB"):
        render([big], ServingOptions(gpu_memory_gib=8))
    # Versions that are not loaded cost nothing; a new one is loaded beside the old.
    older = manifest(version=0, memory=memory)
    assert planned_bytes([older, big], ServingOptions()) == planned_bytes([big], ServingOptions())
    both = planned_bytes([older, big], ServingOptions(num_versions=2))
    assert (
        both == planned_bytes([big], ServingOptions(poll_seconds=1)) > planned_bytes([big], ServingOptions())
    )


def test_options_refuse_what_cannot_be_served() -> None:
    with pytest.raises(ValidationError, match="must differ"):
        ServingOptions(grpc_port=9000, rest_port=9000)
    with pytest.raises(ValidationError, match="must be absolute"):
        ServingOptions(model_root="models/")
    with pytest.raises(OptionError, match="nothing was exported"):
        render([])


def test_write_replaces_files_whole(tmp_path: Path) -> None:
    write({"run-gpu.sh": "old", "ssl.config": "key"}, tmp_path)
    write({"run-gpu.sh": "new", "nested/file": "x"}, tmp_path)
    assert (tmp_path / "run-gpu.sh").read_text() == "new"
    assert os.access(tmp_path / "run-gpu.sh", os.X_OK)
    assert stat.S_IMODE((tmp_path / "ssl.config").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nested", "run-gpu.sh", "ssl.config"]


def test_every_option_is_in_the_docs() -> None:
    text = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    table = text[text.index("| option | default |") :]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert names == set(ServingOptions.model_fields)
