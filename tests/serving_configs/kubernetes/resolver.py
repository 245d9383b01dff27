"""As much of kustomize as our files use; what it does not know is an error, and so is a missing file.

``test_kustomize`` holds it to kubectl's answers.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any

import yaml

_KNOWN = {
    "apiVersion",
    "kind",
    "resources",
    "patches",
    "namespace",
    "configMapGenerator",
    "secretGenerator",
    "generatorOptions",
}


def resolve(files: Mapping[str, str], folder: str) -> list[dict[str, Any]]:
    """The objects of ``folder/kustomization.yaml``, names of generated ones replaced in pods."""
    objects = _load(files, folder)
    names = {(item["kind"], item.pop("from")): item["metadata"]["name"] for item in objects if "from" in item}
    for item in objects:
        _rename(item, names)
    return objects


def _load(files: Mapping[str, str], folder: str) -> list[dict[str, Any]]:
    document = yaml.safe_load(files[f"{folder}/kustomization.yaml"])
    assert (document["apiVersion"], document["kind"]) == ("kustomize.config.k8s.io/v1beta1", "Kustomization")
    assert set(document) <= _KNOWN
    objects: list[dict[str, Any]] = []
    for resource in document.get("resources", []):
        path = normpath(f"{folder}/{resource}")
        if f"{path}/kustomization.yaml" in files:
            objects += _load(files, path)
        else:
            objects.append(yaml.safe_load(files[path]))
    for key, kind in (("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")):
        for generator in document.get(key, []):
            objects.append(_generated(files, folder, kind, generator, document.get("generatorOptions", {})))
    for patch in document.get("patches", []):
        _patch(objects, patch["target"], yaml.safe_load(files[f"{folder}/{patch['path']}"]))
    if namespace := document.get("namespace"):
        for item in objects:
            item["metadata"]["namespace"] = namespace
    return objects


def _generated(
    files: Mapping[str, str],
    folder: str,
    kind: str,
    generator: dict[str, Any],
    options: dict[str, Any],
) -> dict[str, Any]:
    assert set(generator) == {"name", "files"}
    assert set(options) <= {"labels", "disableNameSuffixHash"}
    data = {}
    for path in generator["files"]:
        # kustomize reads no file outside of the folder.
        assert not path.startswith(("/", ".."))
        text = files[f"{folder}/{path}"]
        data[PurePosixPath(path).name] = (
            base64.b64encode(text.encode()).decode() if kind == "Secret" else text
        )
    name = generator["name"]
    if not options.get("disableNameSuffixHash"):
        name += "-" + hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:10]
    item = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": options["labels"]}}
    return item | {"data": data, "from": generator["name"]} | ({"type": "Opaque"} if kind == "Secret" else {})


def _patch(objects: list[dict[str, Any]], target: dict[str, str], operations: list[dict[str, Any]]) -> None:
    (item,) = [
        item
        for item in objects
        if item["kind"] == target["kind"] and item["metadata"]["name"] == target["name"]
    ]
    for operation in operations:
        _apply(item, operation)


def _apply(item: Any, operation: dict[str, Any]) -> None:
    """RFC 6902, ``add`` and ``replace``."""
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    for part in way:
        item = item[int(part) if isinstance(item, list) else part]
    value = copy.deepcopy(operation["value"])
    if operation["op"] == "replace":
        assert last in item
        item[last] = value
    elif last == "-":
        item.append(value)
    else:
        assert operation["op"] == "add"
        assert isinstance(item, dict)
        item[last] = value


def _rename(item: dict[str, Any], names: dict[tuple[str, str], str]) -> None:
    """In the volumes of pods, wherever the object has them, as kustomize does of kinds that it knows."""
    spec = item.get("spec", {})
    for way in (("template", "spec"), ("jobTemplate", "spec", "template", "spec")):
        pod: Any = spec
        for part in way:
            pod = pod.get(part, {}) if isinstance(pod, dict) else {}
        for volume in pod.get("volumes", []):
            for source in [volume, *volume.get("projected", {}).get("sources", [])]:
                if name := source.get("configMap", {}).get("name"):
                    source["configMap"]["name"] = names.get(("ConfigMap", name), name)
                for key in ("name", "secretName"):
                    if name := source.get("secret", {}).get(key):
                        source["secret"][key] = names.get(("Secret", name), name)
