"""Every object by schemas that are not ours: Kubernetes', the Prometheus operator's, KEDA's, KServe's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize(
    ("module", "kind", "field"),
    [
        ("prometheus_operator.v1", "ServiceMonitor", "/endpoints/0/intervall"),
        ("prometheus_operator.v1", "PodMonitor", "/podMetricsEndpoints/0/paht"),
        ("prometheus_operator.v1", "PrometheusRule", "/groups/0/rules/0/fro"),
        ("keda.v1alpha1", "ScaledObject", "/triggers/0/metricTyp"),
    ],
)
def test_a_misspelt_field_is_lost(module: str, kind: str, field: str) -> None:
    models = pytest.importorskip(f"cloudcoil.models.{module}")
    item = json.loads(json.dumps(next(item for item in every() if item["kind"] == kind)))
    *way, last = field.split("/")[1:]
    place = item["spec"]
    for part in way:
        place = place[int(part) if isinstance(place, list) else part]
    place[last] = "15s"
    kept = (
        getattr(models, kind).model_validate(item).model_dump(by_alias=True, exclude_none=True, mode="json")
    )
    assert list(lost(item["spec"], kept["spec"])) == [field]


#: As operators publish them: of two versions, with what only Kubernetes' own schemas have.
DEFINITION = """
kind: CustomResourceDefinition
spec:
  group: example.org
  names: {kind: Thing}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        type: object
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          spec:
            type: object
            required: [port]
            properties:
              port: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
              mode: {type: string, enum: [a, b]}
              labels: {type: object, additionalProperties: {type: string}}
              anything: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {}}
              rules: {type: array, items: {type: object, properties: {alert: {type: string}}}}
---
kind: Service
"""


def test_definitions_are_read_strictly(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    (tmp_path / "crd.yaml").write_text(DEFINITION)
    validator = jsonschema.Draft202012Validator(crd_schemas.read(tmp_path)["example.org/v1", "Thing"])

    def problems(**spec: Any) -> list[list[Any]]:
        item = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "n"}, "spec": spec}
        return [list(problem.path) for problem in validator.iter_errors(item)]

    right = {
        "port": "http",
        "mode": "a",
        "labels": {"x": "y"},
        "anything": {"x": 1},
        "rules": [{"alert": "A"}],
    }
    assert problems(**right) == problems(port=80) == []
    assert problems() == problems(port=80, mod="a") == [["spec"]]
    assert problems(port=80, mode="c") == [["spec", "mode"]]
    assert problems(port=80, rules=[{"alert": "A"}, {"allert": "A"}]) == [["spec", "rules", 1]]


def test_published_crds() -> None:
    """With GENSERVE_CRDS naming a folder of CustomResourceDefinitions: each kind among them, strictly."""
    where = os.environ.get("GENSERVE_CRDS")
    if where is None:
        pytest.skip("GENSERVE_CRDS names no folder of CRDs")
    jsonschema = pytest.importorskip("jsonschema")
    schemas = crd_schemas.read(Path(where))
    checked = set()
    for item in every():
        if schema := schemas.get((item["apiVersion"], item["kind"])):
            checked.add(item["kind"])
            problems = jsonschema.Draft202012Validator(schema).iter_errors(item)
            assert [(list(problem.path), problem.message) for problem in problems] == []
    assert checked, f"{where} has no definition of a kind that is rendered"


#: Reads objects by the package's models, which refuse what has another type, and prints the paths of
#: fields that no model has. (The package's own reader does not know the types of newer Kubernetes models.)
_KSERVE_CODE = """
import json, re, sys
import kubernetes.client.models as core
from kserve import models

def read(value, kind, path):
    if found := re.fullmatch(r"(?:list|List)[\\[(](.+)[\\])]", kind):
        return [read(item, found[1], path) for item in value]
    if found := re.fullmatch(r"(?:dict|Dict)[\\[(]str, (.+)[\\])]", kind):
        return {key: read(item, found[1], path) for key, item in value.items()}
    kind = re.sub("^K8sIoApi[A-Z][a-z]+V1", "V1", kind)
    model = getattr(models, kind, None) or getattr(core, kind, None)
    if model is None:
        assert kind in ("str", "int", "bool", "float", "object", "ResourceQuantity"), kind
        return value
    names = {there: here for here, there in model.attribute_map.items()}
    lost.extend(f"{path}.{key}" for key in value if key not in names)
    known = {names[key]: (key, item) for key, item in value.items() if key in names}
    return model(**{
        name: read(item, model.openapi_types[name], f"{path}.{key}") for name, (key, item) in known.items()
    })

lost = []
kinds = {"ServingRuntime": "V1alpha1ServingRuntime", "InferenceService": "V1beta1InferenceService"}
for item in json.load(sys.stdin):
    read(item, kinds[item["kind"]], item["kind"])
print(json.dumps(lost))
"""


@pytest.mark.full
def test_models_of_the_kserve_package() -> None:
    if not KSERVE.exists():
        pytest.skip(
            "the kserve package is not installed: scripts/kserve_environment.sh, as scripts/test --full does"
        )
    given = [item for item in every() if item["kind"] in ("ServingRuntime", "InferenceService")]
    given[0] = json.loads(json.dumps(given[0]))
    given[0]["spec"]["containers"][0]["readyProbe"] = {}
    result = subprocess.run(
        [KSERVE, "-c", _KSERVE_CODE], input=json.dumps(given), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == ["ServingRuntime.spec.containers.readyProbe"]


def test_generated_shell_passes_its_checker(tmp_path: Path) -> None:
    from tests.serving_configs.test_validation import checker

    shellcheck = checker("shellcheck")
    for name in ("everything", "store"):
        script = tmp_path / f"{name}.sh"
        script.write_text(files_of(name)["kubernetes/export/export.sh"])
        result = subprocess.run([shellcheck, "--severity=style", script], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout
