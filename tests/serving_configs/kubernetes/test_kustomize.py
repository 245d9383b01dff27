"""The kustomizations are whole: by a resolver of ours, and by kubectl's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving_configs import write
from tests.serving_configs.kubernetes.deployments import DEPLOYMENTS, EVERY, files_of, folders, objects_of
from tests.serving_configs.kubernetes.resolver import resolve
from tests.serving_configs.test_validation import checker

#: kustomize's hash of what it generates, and the resolver's.
_HASH = re.compile(r"(?<=-)[0-9a-z]{10}$")


def comparable(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and name, without hashes."""
    found = {}
    for item in objects:
        if item["kind"] == "Secret":
            # kustomize breaks the lines.
            item["data"] = {key: "".join(value.split()) for key, value in item["data"].items()}
        if item["kind"] in ("ConfigMap", "Secret"):
            item["metadata"]["name"] = _HASH.sub("HASH", item["metadata"]["name"])
        text = yaml.safe_dump(item)
        text = re.sub(r"(name: \S+-(?:config|manifests|export|ssl)-)[0-9a-z]{10}\n", r"\1HASH\n", text)
        found[item["kind"], item["metadata"]["name"]] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("name", list(DEPLOYMENTS))
def test_kubectl_builds_what_the_resolver_builds(name: str, tmp_path: Path) -> None:
    kubectl = checker("kubectl")
    write(files_of(name), tmp_path)
    for folder in folders(files_of(name)):
        built = subprocess.run(
            [kubectl, "kustomize", str(tmp_path / folder)], capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stderr
        theirs = comparable(list(yaml.safe_load_all(built.stdout)))
        assert theirs == comparable(resolve(files_of(name), folder)), folder


@pytest.mark.parametrize(("name", "folder"), EVERY)
def test_every_file_is_used_and_every_name_is_there(name: str, folder: str) -> None:
    """Volumes name generated objects, autoscalers the Deployment, Services and policies the pods' labels."""
    objects = objects_of(name, folder)
    names = {(item["kind"], item["metadata"]["name"]) for item in objects}
    assert len(names) == len(objects)
    pods = [
        item["spec"]["template"]["metadata"]["labels"] for item in objects if item["kind"] == "Deployment"
    ]
    for item in objects:
        spec = item.get("spec", {})
        if item["kind"] == "Deployment":
            for volume in spec["template"]["spec"]["volumes"]:
                if "configMap" in volume:
                    assert ("ConfigMap", volume["configMap"]["name"]) in names
            assert ("ServiceAccount", spec["template"]["spec"]["serviceAccountName"]) in names
        if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject") and folder.startswith("kubernetes"):
            assert ("Deployment", spec["scaleTargetRef"]["name"]) in names
        if item["kind"] in ("Service", "PodDisruptionBudget") and pods:
            selector = spec["selector"].get("matchLabels", spec["selector"])
            assert sum(selector.items() <= labels.items() for labels in pods) == 1, item["metadata"]["name"]


@pytest.mark.parametrize("name", list(DEPLOYMENTS))
def test_no_file_lies_about(name: str) -> None:
    """What is rendered below base, cpu, gpu and export is in some kustomization."""
    files = files_of(name)
    for path in files:
        folder = re.match(r"(kubernetes|kserve)/(base|cpu|gpu|export)/", path)
        if folder and not path.endswith("kustomization.yaml"):
            assert path.removeprefix(folder[0]) in _named(files[f"{folder[0]}kustomization.yaml"]), path


def _named(kustomization: str) -> set[str]:
    """The files that it takes something from."""
    content = yaml.safe_load(kustomization)
    made = [
        file.partition("=")[2] or file
        for kind in ("configMapGenerator", "secretGenerator")
        for one in content.get(kind, [])
        for file in (*one.get("files", []), *one.get("envs", []))
    ]
    return {*content.get("resources", []), *made, *(patch["path"] for patch in content.get("patches", []))}
