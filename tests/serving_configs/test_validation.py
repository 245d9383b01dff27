"""Every rendered file through a parser or checker that is not ours."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving_configs import RELEASES, ServingOptions, SslOptions, render, write
from serving_configs.observability import COMPILATIONS, METRICS
from tests.conftest import ROOT
from tests.docs.markdown import blocks
from tests.serving_configs.manifests import manifest
from tests.serving_configs.test_render import PEM, docker_words

DEPLOYMENTS: dict[str, ServingOptions] = {
    "plain": ServingOptions(),
    "everything": ServingOptions(
        serving_version="2.21",
        grpc_port=9000,
        rest_port=8080,
        version_policy="all",
        version_labels={"stories": {"stable": 1, "it's": 2}},
        gpu_memory_gib=80,
        intra_op_threads=4,
        ssl=SslOptions(server_key=PEM, server_cert=PEM, custom_ca=PEM, client_verify=True),
        poll_seconds=5,
    ),
    "bare": ServingOptions(batching=False, xla_cache=False, model_root="/srv/models"),
}


def files_of(name: str) -> dict[str, str]:
    manifests = [manifest(version=1), manifest(version=2), manifest("chat model", 3)]
    return render(manifests, DEPLOYMENTS[name])


@pytest.fixture(params=list(DEPLOYMENTS))
def files(request: pytest.FixtureRequest) -> dict[str, str]:
    return files_of(request.param)


def checker(name: str) -> str:
    """A program beside the interpreter (a test dependency) or on PATH."""
    import sys

    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    return program


def test_shell_scripts(files: dict[str, str], tmp_path: Path) -> None:
    shellcheck = checker("shellcheck")
    write(files, tmp_path)
    scripts = sorted(tmp_path.glob("*.sh"))
    assert {"run.sh", "run-gpu.sh", "run-cpu.sh", "start-server.sh", "healthcheck.sh"} == {
        s.name for s in scripts
    }
    result = subprocess.run([shellcheck, "--severity=style", *scripts], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def compose_document(files: dict[str, str]) -> dict[str, Any]:
    document = yaml.safe_load(files["docker-compose.yaml"])
    assert isinstance(document, dict)
    return document


def test_compose_against_its_schema(files: dict[str, str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "tests" / "third_party" / "compose_spec.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    document = compose_document(files)
    validator.validate(document)
    for name, value in (("healtcheck", {}), ("ports", "8500"), ("profiles", "gpu"), ("init", 1)):
        wrong = compose_document(files)
        wrong["services"]["serving-gpu"][name] = value
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(wrong)


def test_compose_says_what_the_run_scripts_say(files: dict[str, str]) -> None:
    services = compose_document(files)["services"]
    for device in ("gpu", "cpu"):
        words = docker_words(files[f"run-{device}.sh"])
        service = services[f"serving-{device}"]
        assert service["command"] == [word for word in words[words.index("--entrypoint") :] if "=" in word]
        assert service["entrypoint"][0] == words[words.index("--entrypoint") + 1]
        assert service["image"] in words[words.index("--entrypoint") + 2]
        given = {word for word in words if re.fullmatch(r"[A-Z0-9_]+=.*", word)}
        assert {f"{name}={value}" for name, value in service["environment"].items()} == given
        assert service["profiles"] == [device]
        assert service["healthcheck"]["test"][-1] == service["entrypoint"][-1].replace(
            "start-server.sh", "healthcheck.sh"
        )
        cached = any(volume.endswith(":/xla-cache:ro") for volume in service["volumes"])
        assert cached == ("XLA_CACHE" in service["environment"])
        assert service["networks"]["serving"]["aliases"] == ["serving"]
        assert all(volume.endswith(":ro") for volume in service["volumes"])
    devices = services["serving-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert "deploy" not in services["serving-cpu"]
    assert services["front"]["profiles"] == ["gpu", "cpu"]
    # Only the front is reached from outside.
    published = [port for name in ("serving-gpu", "serving-cpu") for port in services[name]["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_documented_image_installs_the_wheel_with_its_extras(tmp_path: Path) -> None:
    """Its one command, run with a pip that writes down what it is asked for."""
    (text,) = [
        block.text for block in blocks(ROOT / "docs" / "deploying.md") if block.language == "dockerfile"
    ]
    lines = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in text.splitlines()}
    extras = lines["ARG"].removeprefix("EXTRAS=")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"export", "gateway", "remote"} == set(extras.split(",")) <= set(project["optional-dependencies"])
    wheel = tmp_path / "genserve-0.1.0-py3-none-any.whl"
    wheel.touch()
    pip = f'EXTRAS={extras}; pip() {{ printf "%s\\n" "$@"; }}; '
    command = pip + lines["RUN"].replace("/tmp/", f"{tmp_path}/")
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["install", "--no-cache-dir", f"{wheel}[{extras}]"]
    assert not wheel.exists()


def test_compose_pulls_from_a_store_first(files: dict[str, str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    url = "s3://bucket/models"
    document = compose_document(render([manifest()], ServingOptions(source=url)))
    schema = json.loads((ROOT / "tests" / "third_party" / "compose_spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    pull = document["services"]["pull"]
    assert pull["command"] == ["genserve", "pull", f"${{SOURCE:-{url}}}", "/models"]
    assert pull["image"].startswith("${GENSERVE_IMAGE:?")
    assert pull["volumes"] == ["..:/models"]
    for device in ("gpu", "cpu"):
        wait = document["services"][f"serving-{device}"]["depends_on"]
        assert wait == {"pull": {"condition": "service_completed_successfully"}}
        assert device in pull["profiles"]
    assert "pull" not in compose_document(files)["services"]
    for bad in ("bucket/models", "s3://a b", "s3://a}$(rm)"):
        with pytest.raises(ValueError, match="source"):
            ServingOptions(source=bad)


def test_compose_gives_the_warmup_its_time() -> None:
    def start(**changes: Any) -> str:
        document = compose_document(render([manifest(**changes)]))
        return str(document["services"]["serving-gpu"]["healthcheck"]["start_period"])

    warmup = manifest().warmup
    assert start(warmup=warmup.model_copy(update={"seconds": 100.0})) == "500s"
    assert start(warmup=warmup.model_copy(update={"seconds": 1.0})) == "60s"
    assert start(warmup=warmup.model_copy(update={"seconds": None})) == "900s"


def test_dockerfile(files: dict[str, str], tmp_path: Path) -> None:
    parse = pytest.importorskip("dockerfile_parse")
    parser = parse.DockerfileParser(path=str(tmp_path / "Dockerfile"))
    parser.content = files["Dockerfile"]
    instructions = [
        (item["instruction"], item["value"]) for item in parser.structure if item["instruction"] != "COMMENT"
    ]
    names = [name for name, _ in instructions]
    assert names[:2] == ["ARG", "FROM"]
    assert names[-4:] == ["EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"]
    values = dict(instructions)
    words = docker_words(files["run-gpu.sh"])
    assert json.loads(values["CMD"]) == [word for word in words[words.index("--entrypoint") :] if "=" in word]
    assert json.loads(values["ENTRYPOINT"])[0] == words[words.index("--entrypoint") + 1]
    assert parser.baseimage.endswith("-gpu")
    assert "NVIDIA_TF32_OVERRIDE" in dict(parser.envs)
    assert values["USER"] == "65534:65534"
    # The models and, with them, the cache are in the image; the launcher finds it where it looks.
    root = json.loads(values["ENTRYPOINT"])[1].removesuffix("/serving/start-server.sh")
    assert values["COPY"] == f". {root}"
    cached = "XLA_CACHE=" in files["run-gpu.sh"]
    assert parser.envs.get("XLA_CACHE") == (f"{root}/xla-cache" if cached else None)


def test_images_never_hold_private_keys(files: dict[str, str]) -> None:
    assert {"serving/ssl.config", "serving/tls"} <= set(files["Dockerfile.dockerignore"].splitlines())


def expressions(files: dict[str, str]) -> list[str]:
    rules = yaml.safe_load(files["prometheus-rules.yaml"])
    panels = json.loads(files["grafana-dashboard.json"])["panels"]
    return [rule["expr"] for rule in rules["groups"][0]["rules"]] + [
        target["expr"].replace("$__rate_interval", "5m") for panel in panels for target in panel["targets"]
    ]


def test_every_query_is_promql_on_metrics_that_exist(files: dict[str, str]) -> None:
    promql = pytest.importorskip("promql_parser")
    known = {"up"}
    for name, kind in METRICS.items():
        known |= (
            {f"{name}{suffix}" for suffix in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
        )
    for expression in expressions(files):
        promql.parse(expression)
        bare = re.sub(r'"[^"]*"', "", expression)
        assert set(re.findall(r":tensorflow:[a-z_:]+|\bup\b", bare)) <= known, expression


def test_the_preview_server_exports_the_metrics_that_the_files_name() -> None:
    """All but the count of compilations, which TensorFlow keeps inside."""
    from exporter.preview.metrics import Metrics

    metrics = Metrics()
    metrics.count_request("m", "OK")
    metrics.count_load("/models/m/1", success=True)
    metrics.observe_latency("m", "REST", 100.0)
    metrics.observe_input(1)
    metrics.observe_batch("pool", [1.0], 4, 3)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", metrics.page(), re.MULTILINE))
    ours = {name: kind for name, kind in METRICS.items() if name != COMPILATIONS}
    assert {name: types.get(name) for name in ours} == ours


def test_prometheus_rules_have_the_required_fields(files: dict[str, str]) -> None:
    (group,) = yaml.safe_load(files["prometheus-rules.yaml"])["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert re.fullmatch(r"\d+m", rule["for"])
    batching = "batching.config" in files
    assert ("GenserveQueueingTooLong" in names) == batching


RULE_TESTS = """
rule_files: [RULES]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'up{job="genserve", instance="a"}'
        values: '1x5 0x5'
      - series: ':tensorflow:serving:request_count{model_name="m", status="OK"}'
        values: '0+100x60'
      - series: ':tensorflow:serving:request_count{model_name="m", status="UNAVAILABLE"}'
        values: '0x20 0+10x40'
      - series: ':tensorflow:serving:request_count{model_name="n", status="INVALID_ARGUMENT"}'
        values: '0+100x60'
    alert_rule_test:
      - {eval_time: 4m, alertname: GenserveServerDown}
      - eval_time: 8m
        alertname: GenserveServerDown
        exp_alerts:
          - exp_labels: {severity: critical, job: genserve, instance: a}
            exp_annotations: {summary: the server does not answer}
      - {eval_time: 19m, alertname: GenserveQueueFull}
      - eval_time: 30m
        alertname: GenserveQueueFull
        exp_alerts:
          - exp_labels: {severity: warning, model_name: m}
            exp_annotations: {summary: "m refuses requests: its queue is full"}
      - {eval_time: 19m, alertname: GenserveErrorRatio}
      - eval_time: 40m
        alertname: GenserveErrorRatio
        exp_alerts:
          - exp_labels: {severity: critical, model_name: m}
            exp_annotations: {summary: more than 1 % of the requests to m fail}
"""


def test_prometheus_takes_the_rules_and_they_fire(files: dict[str, str], tmp_path: Path) -> None:
    """Prometheus's own checker, and its unit tests of rules: wrong requests alarm nobody, refused ones do."""
    promtool = checker("promtool")
    rules = tmp_path / "prometheus-rules.yaml"
    rules.write_text(files["prometheus-rules.yaml"])
    tests = tmp_path / "tests.yaml"
    tests.write_text(RULE_TESTS.replace("RULES", str(rules)))
    for arguments in (["check", "rules", rules], ["test", "rules", tests]):
        result = subprocess.run([promtool, *arguments], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def test_grafana_reads_every_field(files: dict[str, str]) -> None:
    """Grafana's own typed model of a dashboard keeps all that we wrote: no misplaced or unknown field."""
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    document = json.loads(files["grafana-dashboard.json"])
    read = json.loads(encoder.JSONEncoder().encode(models.Dashboard.from_json(document)))
    assert list(lost(document, read)) == []
    document["panels"][0]["targts"] = []
    read = json.loads(encoder.JSONEncoder().encode(models.Dashboard.from_json(document)))
    assert list(lost(document, read)) == ["/panels/0/targts"]


def lost(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Where ``kept`` lacks something of ``given``, or has another value there."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            yield from lost(value, kept[key], f"{path}/{key}") if key in kept else [f"{path}/{key}"]
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, (value, other) in enumerate(zip(given, kept, strict=True)):
            yield from lost(value, other, f"{path}/{index}")
    elif given != kept:
        yield path


def test_grafana_dashboard(files: dict[str, str]) -> None:
    dashboard = json.loads(files["grafana-dashboard.json"])
    panels = dashboard["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        assert panel["datasource"]["uid"] == "${datasource}"
    assert dashboard["templating"]["list"][0]["name"] == "datasource"


@pytest.mark.parametrize("version", list(RELEASES))
def test_a_version_changes_images_everywhere(version: str) -> None:
    files = render([manifest()], ServingOptions(serving_version=version))
    tags = {tag for text in files.values() for tag in re.findall(r"tensorflow/serving:([0-9.]+)", text)}
    assert tags == {RELEASES[version].tag}
