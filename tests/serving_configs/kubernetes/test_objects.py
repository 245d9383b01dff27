"""What the objects say: the same as the Docker files, with every figure from the manifests."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.choices import Device
from exporter.errors import OptionError
from exporter.manifest import MANIFEST_PATH, BucketMemory, Manifest, WarmupInfo
from serving_configs import RELEASES, ServingOptions, SslOptions, render
from serving_configs.gpu_memory import planned_bytes
from serving_configs.kubernetes_options import (
    ExportJobOptions,
    GatewayOptions,
    KServeOptions,
    KubernetesOptions,
)
from serving_configs.observability import METRICS
from tests.cli.parsing import parse
from tests.conftest import ROOT
from tests.serving_configs.kubernetes.deployments import (
    DEPLOYMENTS,
    EVERY,
    IMAGE,
    JOB,
    files_of,
    folders,
    manifests,
    objects_of,
    one,
    options,
)
from tests.serving_configs.kubernetes.resolver import resolve
from tests.serving_configs.manifests import manifest
from tests.serving_configs.test_render import PEM, docker_words

GPU = "kubernetes/gpu"
GATEWAY = {"genserve_image": "i", "gateway": {}}
SERVERS = [name for name in DEPLOYMENTS if "kubernetes" in DEPLOYMENTS[name].targets]


def pod_of(item: dict[str, Any]) -> dict[str, Any] | None:
    """The pod's fields of whatever object has some."""
    spec = item.get("spec", {})
    if item["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if item["kind"] in ("Deployment", "Job", "CronJob"):
        return spec["template"]["spec"]
    return {"InferenceService": spec.get("predictor"), "ServingRuntime": spec}.get(item["kind"])


def test_every_command_is_one_of_the_command_line() -> None:
    """Of containers in pods and in compose, and of the scripts on the host; nothing is run."""
    found = []
    for name, folder in EVERY:
        for item in objects_of(name, folder):
            pod = pod_of(item) or {}
            found += [*pod.get("initContainers", []), *pod.get("containers", [])]
    composed = render([manifest()], ServingOptions(gateway=True, source="s3://bucket/models"))
    found += yaml.safe_load(composed["docker-compose.yaml"])["services"].values()
    commands = [
        [*container["command"], *container.get("args", [])][1:]
        for container in found
        if container.get("command", [""])[0] == "genserve"
    ]
    for path, text in composed.items():
        if path.endswith(".sh"):
            commands += [shlex.split(line)[1:] for line in re.findall(r"\|\| (genserve .*)", text)]
    for command in commands:
        parse(command)
    assert {command[0] for command in commands} == {"pull", "gateway"}


def server(name: str, device: Device) -> dict[str, Any]:
    return one(objects_of(name, f"kubernetes/{device}"), "Deployment")["spec"]["template"]["spec"]


def rendered(options: ServingOptions, device: Device = "gpu", **changes: Any) -> dict[str, Any]:
    """The Deployment of one version, with ``changes`` of its manifest."""
    return one(resolve(render([manifest(**changes)], options), f"kubernetes/{device}"), "Deployment")


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("device", ["gpu", "cpu"])
def test_flags_image_and_variables_are_dockers(name: str, device: Device) -> None:
    (container,) = server(name, device)["containers"]
    words = docker_words(files_of(name)[f"run-{device}.sh"])
    known = next(iter(RELEASES.values())).flags
    theirs = [word for word in words if word.startswith("--") and word[2:].partition("=")[0] in known]
    place = ("/models/serving/", "/etc/genserve/")
    ours = {flag.replace(*place) for flag in container["args"]}
    more = {"--grpc_channel_arguments=grpc.max_connection_age_ms=60000"}
    assert ours == {flag.replace(*place) for flag in theirs} | more
    assert len(ours) == len(container["args"])
    assert {"--port=8500", f"--xla_{device}_compilation_enabled=true"} <= ours
    assert f"${{IMAGE:-{container['image']}}}" in words
    variables = {item["name"]: item["value"] for item in container["env"]}
    expected = {pair for pair in words if pair in {f"{key}={value}" for key, value in variables.items()}}
    assert {f"GENSERVE_DEVICE={device}", "TF_CPP_MIN_LOG_LEVEL=1"} <= expected
    assert ("NVIDIA_TF32_OVERRIDE" in variables) == (device == "gpu")


@pytest.mark.parametrize("name", SERVERS)
def test_config_maps_hold_dockers_files(name: str) -> None:
    (config,) = [
        item
        for item in objects_of(name, GPU)
        if item["kind"] == "ConfigMap" and "start-server.sh" in item["data"]
    ]
    for file, text in config["data"].items():
        assert text == files_of(name)[file], file
    read = {
        flag.rpartition("/")[2] for flag in server(name, "gpu")["containers"][0]["args"] if "_file=" in flag
    }
    assert read - {"ssl.config"} <= set(config["data"])


@pytest.mark.parametrize("name", SERVERS)
def test_probes_are_sized_by_what_was_measured(name: str) -> None:
    pod = server(name, "gpu")
    (container,) = pod["containers"]
    compose = yaml.safe_load(files_of(name)["docker-compose.yaml"])["services"]["serving-gpu"]
    startup, liveness = container["startupProbe"], container["livenessProbe"]
    start = int(compose["healthcheck"]["start_period"].rstrip("s"))
    assert startup["periodSeconds"] * startup["failureThreshold"] >= start
    (timeout,) = [flag for flag in container["args"] if flag.startswith("--rest_api_timeout_in_ms=")]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] * 1000 >= int(timeout.partition("=")[2])
    drain = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert int(compose["stop_grace_period"].rstrip("s")) < drain < pod["terminationGracePeriodSeconds"]
    assert startup["exec"] == container["readinessProbe"]["exec"]
    assert liveness["httpGet"] == {"path": "/v1/models/stories", "port": 8501}


def test_a_longer_warmup_gives_pods_longer() -> None:
    slow = WarmupInfo(records=6, seconds=400.0)
    found = rendered(options(), warmup=slow)["spec"]
    probe = found["template"]["spec"]["containers"][0]["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] == 2000
    assert found["progressDeadlineSeconds"] > 2000


def test_memory_is_the_plan() -> None:
    large = BucketMemory(program=0, batch_size=8, prompt_length=128, temporary_bytes=3 << 30, result_bytes=0)
    warmup = WarmupInfo(records=6, seconds=5.0, memory=(large,), device="cpu")
    for device, least in (("cpu", 4.3), ("gpu", 1.0)):
        container = rendered(options(), device, warmup=warmup)["spec"]["template"]["spec"]["containers"][0]
        memory = container["resources"]["limits"]["memory"]
        assert memory == container["resources"]["requests"]["memory"]
        assert math.floor(int(memory.removesuffix("Mi")) / 102.4) / 10 == least
    plan = planned_bytes([manifest(warmup=warmup)], options(), "cpu")
    cpu = rendered(options(), "cpu", warmup=warmup)["spec"]["template"]["spec"]["containers"][0]
    assert cpu["resources"]["limits"] == {"memory": f"{math.ceil(plan / 2**20)}Mi"}


def test_gpus() -> None:
    plain, chosen = server("plain", "gpu"), server("everything", "gpu")
    assert plain["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert chosen["containers"][0]["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == "1"
    assert chosen["tolerations"][0]["key"] == "nvidia.com/mig-1g.10gb"
    assert chosen["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert "nodeSelector" not in plain
    assert not {"tolerations", "nodeSelector"} & set(server("everything", "cpu"))


def test_models_from_a_volume() -> None:
    plain, chosen = server("plain", "gpu"), server("everything", "gpu")
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "stories-models", "readOnly": True}} in (
        plain["volumes"]
    )
    assert {"name": "models", "mountPath": "/models", "readOnly": True, "subPath": "out/today"} in (
        chosen["containers"][0]["volumeMounts"]
    )
    assert "initContainers" not in plain
    # A server that polls reads what promotions write on the volume; another one what is rendered.
    assert "--model_config_file=/models/serving/models.config" in chosen["containers"][0]["args"]
    assert "--model_config_file=/etc/genserve/models.config" in plain["containers"][0]["args"]


def test_models_out_of_an_image() -> None:
    pod = server("image", "gpu")
    (copy,) = pod["initContainers"]
    assert (copy["image"], copy["command"]) == (
        "registry.example.com/stories:1",
        ["cp", "-R", "/models/.", "/copy/"],
    )
    assert {"name": "models", "emptyDir": {}} in pod["volumes"]
    # The larger of what the files and the weights take, of both versions, in whole MiB.
    need = math.ceil((4_000_000 + (50 << 20)) / 2**20)
    assert pod["containers"][0]["resources"]["requests"]["ephemeral-storage"] == f"{need}Mi"


def test_models_pulled_from_a_store() -> None:
    (ready,) = server("store", "gpu")["initContainers"]
    assert ready["command"] == ["genserve", "pull", "s3://bucket/models", "/models"]
    assert ready["envFrom"] == [{"secretRef": {"name": "store-keys"}}]
    (pull,) = server("pulled", "gpu")["initContainers"]
    assert (pull["image"], pull["command"][-2]) == (IMAGE, "gs://bucket/models")


def test_caches() -> None:
    def cache(name: str) -> list[str]:
        return [
            item["value"] for item in server(name, "gpu")["containers"][0]["env"] if "XLA" in item["name"]
        ]

    assert (cache("plain"), cache("everything"), cache("pulled")) == (
        ["/models/xla-cache"],
        ["/xla-cache"],
        [],
    )
    assert {"name": "xla-cache", "persistentVolumeClaim": {"claimName": "xla", "readOnly": True}} in (
        server("everything", "gpu")["volumes"]
    )


def test_rollouts() -> None:
    surge = one(objects_of("plain", GPU), "Deployment")["spec"]["strategy"]["rollingUpdate"]
    scarce = one(objects_of("everything", GPU), "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert surge == {"maxSurge": 1, "maxUnavailable": 0}
    assert scarce == {"maxSurge": 0, "maxUnavailable": 1}


def test_what_a_server_watches_keeps_its_name() -> None:
    def stable(**values: Any) -> bool:
        names = [
            item["metadata"]["name"]
            for item in resolve(render([manifest()], options(("kubernetes",), **values)), GPU)
            if item["kind"] == "ConfigMap"
        ]
        return names == ["stories-config"]

    image = {"model_image": "m:1"}
    assert stable(poll_seconds=5, kubernetes=image)
    assert not stable(kubernetes=image)
    assert not stable(poll_seconds=5)  # models.config is on the volume; the rest is read at the start


def test_an_autoscaler_alone_says_how_many() -> None:
    assert "replicas" not in one(objects_of("plain", GPU), "Deployment")["spec"]
    assert one(objects_of("pulled", GPU), "Deployment")["spec"]["replicas"] == 3
    kinds = {item["kind"] for item in objects_of("pulled", GPU)}
    assert not kinds & {"HorizontalPodAutoscaler", "ScaledObject", "ServiceMonitor", "PrometheusRule"}


def test_pods_scale_by_a_quarter_of_the_goal() -> None:
    found = options(latency_goal_seconds=8.0)
    hpa = one(resolve(render(manifests(), found), GPU), "HorizontalPodAutoscaler")["spec"]
    (metric,) = hpa["metrics"]
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "2000m"}
    adapter = yaml.safe_load(render(manifests(), found)["kubernetes/prometheus-adapter-values.yaml"])
    assert [rule["name"]["as"] for rule in adapter["rules"]["custom"]] == [metric["pods"]["metric"]["name"]]
    # Two versions of 12.5 s each, five times over: no second doubling while the first one warms up.
    assert hpa["behavior"]["scaleUp"]["policies"][0]["periodSeconds"] == 125


def test_the_second_goal_depends_on_the_device() -> None:
    def metrics(device: str) -> list[dict[str, Any]]:
        return one(objects_of("store", f"kubernetes/{device}"), "HorizontalPodAutoscaler")["spec"]["metrics"]

    gpu, cpu = metrics("gpu")[1], metrics("cpu")[1]
    assert gpu["pods"]["metric"]["name"] == "genserve_gpu_utilization"
    assert gpu["pods"]["target"]["averageValue"] == "70"
    assert cpu["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    triggers = [
        one(objects_of("everything", f"kubernetes/{device}"), "ScaledObject")["spec"]["triggers"][1]
        for device in ("gpu", "cpu")
    ]
    assert "DCGM_FI_DEV_GPU_UTIL" in triggers[0]["metadata"]["query"]
    assert triggers[1] == {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}


def queries(name: str) -> Iterator[str]:
    for path, text in files_of(name).items():
        if path.endswith("prometheus-adapter-values.yaml"):
            for rule in yaml.safe_load(text)["rules"]["custom"]:
                query = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="n",pod=~"a|b"')
                yield query.replace("<<.GroupBy>>", "pod")
                yield rule["seriesQuery"]
    for folder in folders(files_of(name)):
        for item in objects_of(name, folder):
            for trigger in item.get("spec", {}).get("triggers", []):
                if "query" in trigger["metadata"]:
                    yield trigger["metadata"]["query"]


@pytest.mark.parametrize("name", SERVERS)
def test_queries_are_promql_on_metrics_that_exist(name: str) -> None:
    promql = pytest.importorskip("promql_parser")
    found = list(queries(name))
    assert bool(found) == (name != "pulled")
    for query in found:
        promql.parse(query)
        assert "DCGM_FI_DEV_GPU_UTIL" in query or any(metric in query for metric in METRICS)


def test_prometheus_job_is_the_one_that_the_alerts_ask_for() -> None:
    objects = objects_of("everything", GPU)
    monitor, rule = one(objects, "ServiceMonitor"), one(objects, "PrometheusRule")
    services = [item for item in objects if item["kind"] == "Service"]
    labels = monitor["spec"]["selector"]["matchLabels"]
    scraped = [
        item
        for item in services
        if labels.items() <= item["metadata"]["labels"].items()
        and "rest" in {port["name"] for port in item["spec"]["ports"]}
    ]
    assert [item["metadata"]["labels"][monitor["spec"]["jobLabel"]] for item in scraped] == ["genserve"]
    assert rule["spec"] == yaml.safe_load(files_of("everything")["prometheus-rules.yaml"])
    assert monitor["metadata"]["labels"]["release"] == rule["metadata"]["labels"]["release"] == "prometheus"


def admitted(policy: dict[str, Any], pod: dict[str, str], namespace: str | None = None) -> set[int]:
    """Ports that a pod reaches; ``namespace``: another than the policy's."""
    ports = set()
    for rule in policy["spec"]["ingress"]:
        for peer in rule.get("from", [{}]):
            spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector", {})
            names = {"kubernetes.io/metadata.name": namespace or ""}
            near = namespace is None if spaces is None else spaces["matchLabels"].items() <= names.items()
            if (near or not peer) and pods.get("matchLabels", {}).items() <= pod.items():
                ports |= {port["port"] for port in rule["ports"]}
    return ports


def test_who_may_call_the_server() -> None:
    alone = one(objects_of("plain", GPU), "NetworkPolicy")
    behind = one(objects_of("everything", GPU), "NetworkPolicy")
    front = one(objects_of("everything", GPU), "NetworkPolicy", "gateway")
    gateway = one(objects_of("everything", GPU), "Deployment", "gateway")["spec"]["template"]["metadata"][
        "labels"
    ]
    assert admitted(alone, {"app": "other"}) == admitted(behind, gateway) == {8500, 8501}
    assert admitted(behind, {"app": "other"}) == admitted(alone, gateway, "elsewhere") == set()
    assert admitted(behind, {}, "monitoring") == {8501}
    export = one(objects_of("everything", "kubernetes/export"), "CronJob", "export")["spec"]["jobTemplate"]
    assert admitted(behind, export["spec"]["template"]["metadata"]["labels"]) == {8500, 8501}
    assert admitted(front, export["metadata"]["labels"]) == {8000}
    assert admitted(front, {}, "elsewhere") == {8000}
    assert alone["spec"]["egress"] == []
    outside = one(objects_of("store", GPU), "NetworkPolicy")["spec"]["egress"]
    assert {"ports": [{"protocol": "TCP", "port": 443}]} in outside


def test_the_gateway_finds_server_and_manifests(tmp_path: Path) -> None:
    objects = objects_of("everything", GPU)
    (container,) = (pod := pod_of(one(objects, "Deployment", "gateway")) or {})["containers"]
    services = {item["metadata"]["name"]: item for item in objects if item["kind"] == "Service"}
    backend = "grpc://tales-grpc:8500"
    assert {f"--backend={backend}", "--keys=/etc/genserve-keys/keys"} <= set(container["args"])
    assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": 8000}
    assert services["tales-grpc"]["spec"]["clusterIP"] == "None"
    (volume,) = [item["configMap"] for item in pod["volumes"] if "configMap" in item]
    (config,) = [item for item in objects if item["metadata"]["name"] == volume["name"]]
    for item, given in zip(volume["items"], manifests(), strict=True):
        assert item["path"] == f"stories/{given.version}/{MANIFEST_PATH}"
        (tmp_path / item["path"]).parent.mkdir(parents=True)
        (tmp_path / item["path"]).write_text(config["data"][item["key"]])
        read = Manifest.read(tmp_path / "stories" / str(given.version))
        assert read == given.model_copy(update={"files": ()})


def test_private_keys_are_in_secrets_alone() -> None:
    objects = objects_of("image", GPU)
    assert [item["metadata"]["name"] for item in objects if "BEGIN" in json.dumps(item)] == []
    (secret,) = [item for item in objects if item["kind"] == "Secret"]
    assert list(secret["data"]) == ["ssl.config"]
    volume = next(item for item in server("image", "gpu")["volumes"] if item["name"] == "config")
    assert {"secret": {"name": secret["metadata"]["name"]}} in volume["projected"]["sources"]
    assert "serving/kubernetes" in files_of("image")["Dockerfile.dockerignore"].splitlines()


@pytest.mark.parametrize(("name", "folder"), EVERY)
def test_pods_are_restricted(name: str, folder: str) -> None:
    """The restricted profile of the Pod Security Standards."""
    for item in objects_of(name, folder):
        pod = pod_of(item)
        if pod is None:
            continue
        if "securityContext" in pod:
            assert pod["securityContext"]["runAsNonRoot"]
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
        assert "securityContext" in pod or item["kind"] in ("ServingRuntime", "InferenceService")
        for container in [*pod.get("initContainers", []), *pod.get("containers", [])]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"] or "cp" in container[
                "command"
            ]


def test_kserve_starts_the_same_server_in_its_places() -> None:
    for device in ("gpu", "cpu"):
        objects = objects_of("everything", f"kserve/{device}")
        container = one(objects, "ServingRuntime")["spec"]["containers"][0]
        assert container["name"] == "kserve-container"
        assert {"--port=9000", "--rest_api_port=8080", f"--xla_{device}_compilation_enabled=true"} <= set(
            container["args"]
        )
        # What stands in the export directory names other places than KServe's.
        assert "--model_config_file=/etc/genserve/models.config" in container["args"]
        (config,) = [item["data"] for item in objects if item["kind"] == "ConfigMap"]
        assert 'base_path: "/mnt/models/stories"' in config["models.config"]
        assert "8080" in config["healthcheck.sh"]
    service = one(objects, "InferenceService")
    assert service["spec"]["predictor"]["model"]["storageUri"] == "pvc://models/out/today"
    assert (
        service["spec"]["predictor"]["model"]["runtime"] == one(objects, "ServingRuntime")["metadata"]["name"]
    )
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"
    assert one(objects, "ScaledObject")["spec"]["scaleTargetRef"]["name"] == "tales-predictor"
    monitor = one(objects, "PodMonitor")["spec"]
    assert monitor["podMetricsEndpoints"][0]["port"] in {port["name"] for port in container["ports"]}
    front = service["spec"]["predictor"]["containers"][0]
    assert not {port["name"] for port in front["ports"]} & {port["name"] for port in container["ports"]}
    assert (front["name"], front["ports"][0]["containerPort"]) == ("transformer-container", 8000)


def test_kserve_on_knative() -> None:
    objects = objects_of("knative", "kserve/gpu")
    predictor = one(objects, "InferenceService")["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 10
    assert (predictor["scaleMetric"], predictor["scaleTarget"]) == ("concurrency", 8)
    assert predictor["model"]["storageUri"] == "s3://bucket/models"
    assert predictor["model"]["protocolVersion"] == "grpc-v1"
    runtime = one(objects, "ServingRuntime")["spec"]
    (container,) = runtime["containers"]
    assert [port["name"] for port in container["ports"]] == ["h2c"]
    assert not {"HorizontalPodAutoscaler", "PodMonitor"} & {item["kind"] for item in objects}
    # What Knative admits with its features as they are by default (pkg/apis/serving/fieldmask.go of 2026-08).
    fields = {"name", "args", "command", "env", "workingDir", "envFrom", "image", "ports", "resources"}
    fields |= {"livenessProbe", "readinessProbe", "startupProbe", "securityContext", "volumeMounts"}
    assert set(container) <= fields
    assert container["securityContext"]["runAsNonRoot"]
    pod = {
        "serviceAccountName",
        "automountServiceAccountToken",
        "containers",
        "volumes",
        "enableServiceLinks",
    }
    kserves = {"supportedModelFormats", "protocolVersions", "labels", "annotations", "model"}
    kserves |= {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "canaryTrafficPercent"}
    assert (set(runtime) | set(predictor)) <= pod | kserves


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["stories"], "stories"),
        (["Chat_Model 2"], "chat-model-2"),
        (["--"], "genserve"),
        (["chat", "stories"], "genserve"),
        (["x" * 60], "x" * 40),
    ],
)
def test_names(names: list[str], expected: str) -> None:
    files = render([manifest(name) for name in names], options())
    assert one(resolve(files, GPU), "Deployment")["metadata"]["name"] == expected


@pytest.mark.parametrize(
    ("kubernetes", "message"),
    [
        ({"clam": "x"}, "unknown: 'clam' (did you mean 'claim'?)"),
        ({"claim": "a", "model_image": "b"}, "claim and model_image"),
        ({"claim": "Not A Name"}, "claim"),
        ({"claim": "a", "claim_path": "../b"}, "must not leave the volume"),
        ({"replicas": 5}, "max_replicas 4 is less than replicas 5"),
        ({"autoscaler": "keda"}, "needs prometheus_url"),
        ({"autoscaler": "vpa"}, "autoscaler"),
        ({"gateway": {}}, "gateway needs genserve_image"),
        ({"export": {"job": JOB}}, "export needs genserve_image"),
        ({"genserve_image": "i", "model_image": "m", "export": {"job": JOB}}, "an image cannot be written"),
        ({"genserve_image": "i", "export": {"job": JOB, "schedule": "now"}}, "schedule"),
        ({"genserve_image": "i", "gateway": {"prt": 1}}, "unknown: 'prt' (did you mean 'port'?)"),
        ({"kserve": {"canary_percent": 5}}, "canary_percent needs deployment_mode Knative, not Standard"),
        ({"name": "Upper"}, "name"),
        ({"max_surge": -1}, "max_surge"),
        ({"utilization_percent": 0}, "utilization_percent"),
    ],
)
def test_refusals(kubernetes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="kubernetes") as caught:
        options(kubernetes=kubernetes)
    assert message in str(caught.value)


def test_kserve_takes_no_image() -> None:
    with pytest.raises(OptionError, match=r"kubernetes\.model_image: KServe takes the models from"):
        render([manifest()], options(("kserve",), kubernetes={"model_image": "m:1"}))


def test_pods_that_pull_need_an_image_with_genserve() -> None:
    """KServe downloads by itself; nothing is installed from an index when a pod or a container starts."""
    with pytest.raises(
        OptionError, match=r"kubernetes\.genserve_image: missing; .* s3://b/models.*Dockerfile"
    ):
        render([manifest()], options(("kubernetes",), source="s3://b/models"))
    render([manifest()], options(("kserve",), source="s3://b/models"))
    for name in DEPLOYMENTS:
        assert not [path for path, text in files_of(name).items() if "pip install" in text]


def test_no_gateway_on_knative() -> None:
    chosen = GATEWAY | {"kserve": {"deployment_mode": "Knative"}}
    with pytest.raises(
        OptionError, match="deployment_mode Knative: Knative does not ask the state of a second"
    ):
        render([manifest()], options(("kserve",), kubernetes=chosen))


def test_tls_where_it_cannot_be() -> None:
    ssl = SslOptions(server_key=PEM, server_cert=PEM)
    with pytest.raises(OptionError, match="ssl: the gateway speaks plaintext to the server"):
        render([manifest()], options(("kubernetes",), ssl=ssl, kubernetes=GATEWAY))
    with pytest.raises(OptionError, match="ssl: KServe speaks plaintext to the server"):
        render([manifest()], options(("kserve",), ssl=ssl))


def test_manifests_too_large_for_a_config_map_are_refused() -> None:
    many = [manifest(version=version, notes=("n" * 50_000,)) for version in range(1, 30)]
    with pytest.raises(OptionError, match=r"kubernetes\.gateway: the manifests of 29 versions take 1,"):
        render(many, options(kubernetes=GATEWAY))


def test_nothing_without_a_target() -> None:
    assert not [path for path in render([manifest()]) if "/" in path]


def test_every_option_is_in_the_docs() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    table = text[text.index("| option | default |") : text.index("## Scaling")]
    cells = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in cells for name in re.findall(r"`(\w+)`", row[1])} == set(
        KubernetesOptions.model_fields
    )
    nested = {"gateway": GatewayOptions, "export": ExportJobOptions, "kserve": KServeOptions}
    for row in cells:
        if model := nested.get(row[1].strip(" `")):
            assert set(re.findall(r"`(\w+)`", row[3])) == set(model.model_fields)
