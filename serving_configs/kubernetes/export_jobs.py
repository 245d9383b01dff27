"""A Job or CronJob: export from a job file, verify what was written, then let a label name it."""

from __future__ import annotations

from typing import Any

import yaml

from serving_configs.kubernetes import networking, pods, workloads
from serving_configs.kubernetes.app import App, cores, mebibytes, to_yaml
from serving_configs.kubernetes_options import ExportJobOptions
from serving_configs.text import template

COMPONENT = "export"
SCRIPT, JOB_FILE = "export.sh", "job.yaml"
_DIRECTORY = "/etc/genserve-export"
#: More than the last time: versions of another checkpoint are not all alike.
_MEMORY_MARGIN = 1.25
#: Where no version was verified at its export: copies of the weights, and TensorFlow with its compiler.
_WEIGHT_COPIES, _LIBRARIES_BYTES = 3, 4 << 30


def files(app: App, chosen: ExportJobOptions) -> dict[str, str]:
    """Of the folder ``export``, beside its kustomization."""
    policy = networking.export_policy(app)
    return {
        SCRIPT: template(
            "export-job.sh.j2",
            out=_out(app),
            in_store=app.source == "store",
            local=app.options.model_root,
            # A label moves once a server that follows has loaded its version.
            url=f"http://{app.name}:{app.options.rest_port}" if app.follows_promotions else "",
        ),
        JOB_FILE: yaml.safe_dump({**chosen.job, "output": _out(app)}, sort_keys=False, width=110),
        "export.yaml": to_yaml(_object(app, chosen)),
        "networkpolicy.yaml": to_yaml(policy),
    }


def _out(app: App) -> str:
    return str(app.options.source) if app.source == "store" else app.options.model_root


def _object(app: App, chosen: ExportJobOptions) -> dict[str, Any]:
    """A failed export is not tried again by itself: each try would take a version number."""
    spec = workloads.pod_spec(app, [_container(app, chosen)], component=COMPONENT) | {
        "restartPolicy": "Never",
        "volumes": [
            pods.SCRATCH,
            {"name": "export", "configMap": {"name": app.suffixed("export")}},
            pods.models_volume(app, read_only=False),
        ],
    }
    del spec["topologySpreadConstraints"]
    job = {"backoffLimit": 0, "template": {"metadata": {"labels": app.labels(COMPONENT)}, "spec": spec}}
    if chosen.schedule is None:
        return app.object("batch/v1", "Job", "export", component=COMPONENT, spec=job)
    cron = {
        "schedule": chosen.schedule,
        "concurrencyPolicy": "Forbid",
        "jobTemplate": {"metadata": {"labels": app.labels(COMPONENT)}, "spec": job},
    }
    return app.object("batch/v1", "CronJob", "export", component=COMPONENT, spec=cron)


def _container(app: App, chosen: ExportJobOptions) -> dict[str, Any]:
    memory = memory_quantity(app, chosen)
    variables = {"HOME": "/tmp", "HF_HOME": "/tmp/huggingface", "LABEL": chosen.label}
    return {
        "name": COMPONENT,
        "image": app.chosen.genserve_image,
        "command": ["sh", f"{_DIRECTORY}/{SCRIPT}", f"{_DIRECTORY}/{JOB_FILE}"],
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        **pods.credentials(app),
        "resources": {
            "requests": {"cpu": cores(chosen.cpu), "memory": memory},
            "limits": {"memory": memory},
        },
        "volumeMounts": [
            pods.SCRATCH_MOUNT,
            {"name": "export", "mountPath": _DIRECTORY, "readOnly": True},
            pods.models_mount(app, read_only=False),
        ],
        "securityContext": pods.CONTAINER_SECURITY,
    }


def memory_quantity(app: App, chosen: ExportJobOptions) -> str:
    """As chosen, or the most that an export of these versions was measured to take, and a margin."""
    if chosen.memory_gib is not None:
        return mebibytes(chosen.memory_gib * (1 << 30))
    measured = [manifest.measured.peak_memory_bytes for manifest in app.manifests if manifest.measured]
    if measured:
        return mebibytes(max(measured) * _MEMORY_MARGIN)
    weights = max(manifest.memory.weights_bytes for manifest in app.manifests)
    return mebibytes(_WEIGHT_COPIES * weights + _LIBRARIES_BYTES)
