"""Deployments that differ in everything the objects depend on, rendered and resolved."""

from __future__ import annotations

from functools import cache
from pathlib import PurePosixPath
from typing import Any

from exporter.manifest import FileInfo, Manifest, MeasuredInfo
from serving_configs import ServingOptions, SslOptions, render
from tests.serving_configs.kubernetes.resolver import resolve
from tests.serving_configs.manifests import manifest
from tests.serving_configs.test_render import PEM

JOB = {"models": [{"model": "demo:stories", "name": "stories"}]}
IMAGE = "registry.example.com/genserve:0.1.0"
BOTH = ("kubernetes", "kserve")

MEASURED = MeasuredInfo(load_seconds=1, compile_seconds=1, answer_seconds=1, peak_memory_bytes=8_000_000_000)
FILES = (FileInfo(path="variables/variables.data-00000-of-00001", bytes=50 << 20, sha256="0" * 64),)


def manifests() -> list[Manifest]:
    return [manifest(version=1), manifest(version=2, measured=MEASURED, files=FILES)]


def options(targets: tuple[str, ...] = BOTH, /, *, kubernetes: Any = None, **values: Any) -> ServingOptions:
    return ServingOptions.model_validate({"targets": targets, "kubernetes": kubernetes or {}, **values})


DEPLOYMENTS: dict[str, ServingOptions] = {
    "plain": options(),
    "everything": options(
        serving_version="2.21",
        version_labels={"stories": {"stable": 1}},
        gpu_memory_gib=80,
        poll_seconds=5,
        kubernetes={
            "name": "tales",
            "namespace": "llm",
            "replicas": 2,
            "max_surge": 0,
            "claim": "models",
            "claim_path": "out/today",
            "genserve_image": IMAGE,
            "credentials_secret": "store-keys",
            "service_account_annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"},
            "cache_claim": "xla",
            "cpu": 1.5,
            "gpu_resource": "nvidia.com/mig-1g.10gb",
            "node_selector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            "autoscaler": "keda",
            "prometheus_url": "http://prometheus.monitoring:9090",
            "max_replicas": 9,
            "utilization_percent": 80,
            "monitoring_labels": {"release": "prometheus"},
            "gateway": {"replicas": 3, "keys_secret": "api-keys"},
            "export": {"job": JOB, "schedule": "0 3 * * sun", "label": "canary"},
        },
    ),
    "store": options(
        source="s3://bucket/models",
        kubernetes={
            "genserve_image": IMAGE,
            "credentials_secret": "store-keys",
            "gateway": {},
            "export": {"job": JOB, "memory_gib": 12},
            "utilization_percent": 70,
        },
    ),
    "knative": options(
        ("kserve",),
        source="s3://bucket/models",
        kubernetes={"kserve": {"deployment_mode": "Knative", "canary_percent": 10, "protocol": "grpc"}},
    ),
    "pulled": options(
        ("kubernetes", "kserve"),
        source="gs://bucket/models",
        xla_cache=False,
        kubernetes={"genserve_image": IMAGE, "autoscaler": "none", "replicas": 3, "monitoring": False},
    ),
    "image": options(
        ("kubernetes",),
        batching=False,
        ssl=SslOptions(server_key=PEM, server_cert=PEM, custom_ca=PEM, client_verify=True),
        kubernetes={"model_image": "registry.example.com/stories:1"},
    ),
}


@cache
def files_of(name: str) -> dict[str, str]:
    return render(manifests(), DEPLOYMENTS[name])


def folders(files: dict[str, str]) -> list[str]:
    """Those that are applied: the overlays, and the exports."""
    found = {str(PurePosixPath(path).parent) for path in files if path.endswith("kustomization.yaml")}
    return sorted(folder for folder in found if not folder.endswith("/base"))


@cache
def objects_of(name: str, folder: str) -> list[dict[str, Any]]:
    return resolve(files_of(name), folder)


def one(objects: list[dict[str, Any]], kind: str, component: str = "server") -> dict[str, Any]:
    """The object of a kind, of one component where there are several."""
    label = "app.kubernetes.io/component"
    (found,) = [
        item
        for item in objects
        if item["kind"] == kind and item["metadata"]["labels"].get(label) == component
    ]
    return found


EVERY = [(name, folder) for name in DEPLOYMENTS for folder in folders(files_of(name))]
