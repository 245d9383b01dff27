"""The rendered files say what the manifests say, in the forms the server parses."""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError
from tensorflow_serving.config import model_server_config_pb2

from exporter.choices import Device
from exporter.errors import OptionError
from exporter.manifest import BucketMemory, MemoryInfo, WarmupInfo
from serving_configs import RELEASES, ServingOptions, SslOptions, protos, render, write
from serving_configs.gpu_memory import planned_bytes
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


def test_labels_of_versions_that_do_not_exist_are_refused_together() -> None:
    options = ServingOptions(version_labels={"stories": {"stable": 3}, "storys": {"x": 1}})
    with pytest.raises(OptionError) as caught:
        render([manifest(version=1), manifest(version=2)], options)
    message = str(caught.value)
    assert "['stable']: there is no version 3; exported: [1, 2]" in message
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


def test_measured_memory_is_planned_and_what_would_fit_is_named() -> None:
    """10 GiB of weights; 8 x 128 tokens take 4 GiB in the larger of two programs, 4 x 128 take 2."""
    found = [(0, 8, 128, 3 << 30), (1, 8, 128, 4 << 30), (1, 4, 128, 2 << 30), (1, 1, 128, 1 << 20)]
    memory = [
        BucketMemory(
            program=program, batch_size=rows, prompt_length=length, temporary_bytes=size, result_bytes=0
        )
        for program, rows, length, size in found
    ]
    measured = manifest(
        memory=MemoryInfo(weights_bytes=10 << 30, cache_bytes_per_row=0),
        warmup=WarmupInfo(records=4, seconds=1.0, memory=tuple(memory), device="gpu"),
    )
    assert planned_bytes([measured], ServingOptions()) == pytest.approx((10 + 4.4 + 1) * (1 << 30), rel=1e-6)
    with pytest.raises(
        OptionError,
        match=r"need about 15\.4 GiB; stories version 1: weights 10\.0 GiB, bucket 8 x 128 tokens 4\.4 GiB; "
        r"exported with buckets up to 4 x 128 tokens it would fit",
    ):
        render([measured], ServingOptions(gpu_memory_gib=14))
    # The rollover of the advice: loaded twice while a new version is looked for.
    with pytest.raises(OptionError, match="buckets up to 1 x 128 tokens it would fit"):
        render([measured], ServingOptions(gpu_memory_gib=21.5, poll_seconds=5))


def _temporaries(count: int, device: Device) -> WarmupInfo:
    """What ``genserve warm`` notes on a device, of the largest bucket."""
    found = BucketMemory(
        program=0, batch_size=8, prompt_length=128, temporary_bytes=count << 20, result_bytes=0
    )
    return WarmupInfo(records=1, seconds=1.0, memory=(found,), device=device)


def test_what_one_device_measured_plans_for_the_other_where_it_is_more() -> None:
    """100 MiB of weights, 10 MiB a row: 8 rows are estimated at 1.35 x 80 and 0.35 x 100 MiB."""
    memory = MemoryInfo(weights_bytes=100 << 20, cache_bytes_per_row=10 << 20)
    estimate = 100 + 1.35 * 80 + 35
    for count, device, planned in (
        (50, "gpu", 100 + 55),
        (50, "cpu", estimate),
        (200, "cpu", 100 + 220),
        (None, None, estimate),
    ):
        warmup = _temporaries(count, device) if count else WarmupInfo(records=1)
        found = manifest(memory=memory, warmup=warmup)
        assert planned_bytes([found], ServingOptions()) / 2**20 == pytest.approx(planned + 1024), device
    on_gpu = manifest(memory=memory, warmup=_temporaries(50, "gpu"))
    assert planned_bytes([on_gpu], ServingOptions(), "cpu") / 2**20 == pytest.approx(estimate + 1024)
    on_cpu = manifest(memory=memory, warmup=_temporaries(50, "cpu"))
    assert planned_bytes([on_cpu], ServingOptions(), "cpu") / 2**20 == pytest.approx(155 + 1024)


def _notes(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("# ") and ": " in line and "(" in line]


def test_run_scripts_say_what_was_made_for_the_other_device() -> None:
    for_gpus = manifest(model=manifest().model.model_copy(update={"target": "gpu"}))
    files = render([for_gpus])
    assert _notes(files["run-gpu.sh"]) == []
    (note,) = _notes(files["run-cpu.sh"])
    assert note.startswith("# run-cpu.sh serves stories version 1 of --target gpu: it answers alike")
    both = render([for_gpus, manifest(version=2)], ServingOptions(num_versions=2))
    assert "stories version 2 of --target cpu" in _notes(both["run-gpu.sh"])[0]
    # A version that is not loaded says nothing.
    assert _notes(render([for_gpus, manifest(version=2)])["run-cpu.sh"]) == []


@pytest.mark.parametrize(
    ("warmup", "said"),
    [
        (_temporaries(1, "gpu"), []),
        (_temporaries(1, "cpu"), ["was measured on a CPU: the larger of that and an estimate is planned"]),
        (WarmupInfo(records=1, device="cpu"), ["was not measured: an estimate is planned"]),
    ],
)
def test_a_plan_that_no_gpu_measured_is_named(warmup: WarmupInfo, said: list[str]) -> None:
    found = manifest(model=manifest().model.model_copy(update={"target": "gpu"}), warmup=warmup)
    notes = _notes(render([found], ServingOptions(gpu_memory_gib=24))["run-gpu.sh"])
    assert [any(words in note for note in notes) for words in said] == [True] * len(notes)
    assert _notes(render([found])["run-gpu.sh"]) == []  # without a GPU's memory nothing is planned


def test_gpu_memory_is_planned() -> None:
    memory = manifest().memory.model_copy(update={"weights_bytes": 10 << 30})
    big = manifest(memory=memory)
    words = docker_words(render([big], ServingOptions(gpu_memory_gib=24))["run-gpu.sh"])
    flag = next(word for word in words if word.startswith("--per_process_gpu_memory_fraction="))
    assert 14.5 / 24 <= float(flag.split("=")[1]) <= 0.62  # 10 GiB * 1.35 + 1 GiB
    with pytest.raises(OptionError, match=r"the models need about 14\.5 GiB.*no bucket of it would fit"):
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
