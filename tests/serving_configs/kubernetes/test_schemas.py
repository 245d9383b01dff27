"""Every object by schemas that are not ours: Kubernetes', the Prometheus operator's, KEDA's, KServe's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.serving_configs.kubernetes import crd_schemas
from tests.serving_configs.kubernetes.deployments import EVERY, files_of, objects_of, one
from tests.serving_configs.test_validation import lost

#: The oldest that the package knows, one in between, and its newest.
VERSIONS = ("1.25", "1.31", "1.37")
CUSTOM = ("monitoring.coreos.com", "keda.sh", "serving.kserve.io")
KSERVE = ROOT / ".venv-kserve" / "bin" / "python"


def every() -> Iterator[dict[str, Any]]:
    """Each different object once."""
    seen = set()
    for name, folder in EVERY:
        for item in objects_of(name, folder):
            text = json.dumps(item)
            if text not in seen:
                seen.add(text)
                yield item


def custom(item: dict[str, Any]) -> bool:
    return item["apiVersion"].startswith(CUSTOM)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_own_schemas(version: str) -> None:
    """Strict: a field that the API does not have is an error."""
    validate = pytest.importorskip("kubernetes_validate").validate
    for item in every():
        if not custom(item):
            validate(item, version, strict=True)


def test_kubernetes_schemas_see_a_misplaced_field() -> None:
    package = pytest.importorskip("kubernetes_validate")
    item = json.loads(json.dumps(one(objects_of("plain", "kubernetes/gpu"), "Deployment")))
    item["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    with pytest.raises(package.ValidationError, match="readyProbe"):
        package.validate(item, VERSIONS[0], strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_kserves_pods_by_kubernetes_schemas(version: str) -> None:
    """Both objects hold fields of a pod; with KServe's own taken out, each is a pod's spec."""
    validate = pytest.importorskip("kubernetes_validate").validate
    own = {"supportedModelFormats", "protocolVersions", "annotations", "labels"}
    own |= {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "canaryTrafficPercent"}
    own |= {"model", "deploymentStrategy"}
    specs = [item["spec"] for item in every() if item["kind"] == "ServingRuntime"]
    specs += [
        {"containers": [{"name": "c"}], **item["spec"]["predictor"]}
        for item in every()
        if item["kind"] == "InferenceService"
    ]
    assert len(specs) >= 8
    for spec in specs:
        pod = {key: value for key, value in spec.items() if key not in own}
        metadata = {"name": "pod", **{key: spec[key] for key in ("labels", "annotations") if key in spec}}
        validate({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}, version, strict=True)


def test_models_of_the_operators_keep_every_field() -> None:
    """Models that were generated from the published CRDs of the Prometheus operator and KEDA."""
    prometheus = pytest.importorskip("cloudcoil.models.prometheus_operator.v1")
    keda = pytest.importorskip("cloudcoil.models.keda.v1alpha1")
    models = {
        "ServiceMonitor": prometheus.ServiceMonitor,
        "PodMonitor": prometheus.PodMonitor,
        "PrometheusRule": prometheus.PrometheusRule,
        "ScaledObject": keda.ScaledObject,
    }
    found = [item for item in every() if item["kind"] in models]
    assert {item["kind"] for item in found} == set(models)
    for item in found:
        read = models[item["kind"]].model_validate(item)
        kept = read.model_dump(by_alias=True, exclude_none=True, mode="json")
        assert list(lost(item["spec"], kept["spec"])) == []


def test_a_misspelt_field_is_lost() -> None:
    models = pytest.importorskip("cloudcoil.models.prometheus_operator.v1")
    item = json.loads(json.dumps(one(objects_of("plain", "kubernetes/gpu"), "ServiceMonitor")))
    item["spec"]["endpoints"][0]["intervall"] = "15s"
    kept = models.ServiceMonitor.model_validate(item).model_dump(
        by_alias=True, exclude_none=True, mode="json"
    )
    assert list(lost(item["spec"], kept["spec"])) == ["/endpoints/0/intervall"]


def test_published_crds() -> None:
    """With GENSERVE_CRDS naming a folder of CustomResourceDefinitions: each kind among them, strictly."""
    where = os.environ.get("GENSERVE_CRDS")
    if where is None:
        pytest.skip("GENSERVE_CRDS names no folder of CRDs")
    jsonschema = pytest.importorskip("jsonschema")
    schemas = crd_schemas.read(Path(where))
    assert schemas
    for item in every():
        if schema := schemas.get((item["apiVersion"], item["kind"])):
            problems = jsonschema.Draft202012Validator(schema).iter_errors(item)
            assert [(list(problem.path), problem.message) for problem in problems] == []


#: Read by the package's models: reads objects from stdin, prints what the models keep of each.
_KSERVE_CODE = """
import json, sys, types, yaml
import kubernetes.client.models as core
from kserve import models
from kserve.api_client import ApiClient
client, kept = ApiClient(), []
# The package's reader looks for Kubernetes' own models among its own.
vars(models).update({name: value for name, value in vars(core).items() if name[:2] == "V1"} | vars(models))
names = {"ServingRuntime": "V1alpha1ServingRuntime", "InferenceService": "V1beta1InferenceService"}
for item in yaml.safe_load_all(sys.stdin):
    response = types.SimpleNamespace(data=json.dumps(item))
    read = client.deserialize(response, getattr(models, names[item["kind"]]))
    kept.append(client.sanitize_for_serialization(read))
print(json.dumps(kept))
"""


@pytest.mark.full
def test_models_of_the_kserve_package_keep_every_field() -> None:
    if not KSERVE.exists():
        pytest.skip("scripts/kserve_environment.sh has not been run")
    given = [item for item in every() if item["kind"] in ("ServingRuntime", "InferenceService")]
    result = subprocess.run(
        [KSERVE, "-c", _KSERVE_CODE], input=yaml.safe_dump_all(given), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    for item, kept in zip(given, json.loads(result.stdout), strict=True):
        assert list(lost(item["spec"], kept["spec"])) == []


def test_generated_shell_passes_its_checker(tmp_path: Path) -> None:
    from tests.serving_configs.test_validation import checker

    shellcheck = checker("shellcheck")
    for name in ("everything", "store"):
        script = tmp_path / f"{name}.sh"
        script.write_text(files_of(name)["kubernetes/export/export.sh"])
        result = subprocess.run([shellcheck, "--severity=style", script], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout
