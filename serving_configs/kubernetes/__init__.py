"""Objects for Kubernetes and KServe, as kustomizations: a base, and an overlay for a CPU and for a GPU.

kubernetes/base, kubernetes/cpu, kubernetes/gpu      the server, in pods that are all alike
kubernetes/export                                    a Job or CronJob that exports, verifies and promotes
kubernetes/prometheus-adapter-values.yaml            the metric that the autoscaler asks for
kserve/base, kserve/cpu, kserve/gpu                  a ServingRuntime and an InferenceService
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporter.manifest import Manifest
from serving_configs import batching, launcher, models_config, server_files
from serving_configs.kubernetes import (
    export_jobs,
    gateway_front,
    kserve,
    kustomizations,
    networking,
    scaling,
    scraping,
    workloads,
)
from serving_configs.kubernetes.app import CONFIG_DIRECTORY, App, to_yaml
from serving_configs.releases import Release
from serving_configs.serving_options import ServingOptions

#: Whole folders of ours: what is not rendered anymore is removed from them.
FOLDERS = tuple(
    f"{target}/{part}" for target in ("kubernetes", "kserve") for part in ("base", "cpu", "gpu", "export")
)
#: Files beside them.
FILES = ("kubernetes/prometheus-adapter-values.yaml", "kserve/prometheus-adapter-values.yaml")
_ADAPTER = "prometheus-adapter-values.yaml"
_POD = "/spec/template/spec"


def render(manifests: Sequence[Manifest], options: ServingOptions, release: Release) -> dict[str, str]:
    """File name (relative to ``OUT/serving``) -> text, of the targets that ``options`` name.

    Raises:
      OptionError: what a target cannot do.
    """
    app = App(manifests, options, release)
    files: dict[str, str] = {}
    if "kubernetes" in options.targets:
        files |= _below("kubernetes", _kubernetes(app))
    if "kserve" in options.targets:
        files |= _below("kserve", _kserve(kserve.on_kserve(app)))
    return files


def _below(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in files.items()}


def server_config(app: App) -> dict[str, str]:
    """The files that the server and its probes read: the same as Docker's."""
    files = {
        "models.config": models_config.render(app.manifests, app.options, app.options.model_root),
        "monitoring.config": server_files.monitoring(),
        "session.config": server_files.session(app.options),
        "start-server.sh": launcher.start_server(),
        "healthcheck.sh": launcher.healthcheck(app.manifests, app.options),
    }
    if app.options.batching:
        files["batching.config"] = batching.render(app.manifests, app.options)
    return files


def _kubernetes(app: App) -> dict[str, str]:
    chosen = app.chosen
    objects = {
        "deployment.yaml": workloads.deployment(app),
        "service.yaml": networking.service(app),
        "service-grpc.yaml": networking.headless_service(app),
        "serviceaccount.yaml": workloads.service_account(app),
        "poddisruptionbudget.yaml": workloads.disruption_budget(app),
        "networkpolicy.yaml": networking.server_policy(app),
    }
    scaled = {} if chosen.autoscaler == "none" else {"autoscaler.yaml": scaling.autoscaler(app, app.name)}
    if chosen.monitoring:
        objects["servicemonitor.yaml"] = scraping.service_monitor(app)
        objects["prometheusrule.yaml"] = scraping.alerts(app)
    if chosen.gateway:
        objects |= gateway_front.objects(app, chosen.gateway)
    manifests = gateway_front.manifest_files(app.manifests) if chosen.gateway else {}
    files = _base(app, objects | scaled, manifests) | _overlays(app, scaled, "Deployment", _POD, app.name)
    if chosen.autoscaler == "hpa":
        files[_ADAPTER] = to_yaml(scaling.adapter_values(app))
    if chosen.export:
        files |= _below("export", _export(app))
    return files


def _kserve(app: App) -> dict[str, str]:
    objects = kserve.objects(app)
    scaled = {name: found for name, found in objects.items() if name == "autoscaler.yaml"}
    # Knative lets pods say so only where that was switched on.
    tolerant = not app.chosen.kserve.knative
    overlays = _overlays(app, scaled, "ServingRuntime", "/spec", kserve.deployment(app), tolerant)
    files = _base(app, objects, {}, stable_names=True) | overlays
    if scaled and app.chosen.autoscaler == "hpa":
        files[_ADAPTER] = to_yaml(scaling.adapter_values(app))
    return files


def _base(
    app: App, objects: dict[str, dict[str, Any]], manifests: dict[str, str], *, stable_names: bool = False
) -> dict[str, str]:
    """The objects with their kustomization.

    Args:
      manifests: for the gateway.
      stable_names: kustomize finds no names in objects that it does not know.
    """
    config = _below("config", server_config(app))
    maps = {"config": list(config)}
    if manifests:
        manifests = _below("manifests", manifests)
        maps["manifests"] = list(manifests)
    secret = {"config/ssl.config": server_files.ssl(app.options.ssl)} if app.options.ssl else {}
    # A models.config that the server watches keeps its name: a rollout would start it anew instead.
    watched = app.options.poll_seconds > 0 and app.models_config_directory == CONFIG_DIRECTORY
    stable_names = stable_names or watched
    kustomization = kustomizations.folder(
        app, objects, maps, {"ssl": list(secret)} if secret else None, stable_names=stable_names
    )
    texts = {name: to_yaml(found) for name, found in objects.items()}
    return _below("base", {"kustomization.yaml": kustomization, **texts, **config, **manifests, **secret})


def _overlays(
    app: App, scaled: dict[str, dict[str, Any]], kind: str, pod: str, deployment: str, tolerant: bool = True
) -> dict[str, str]:
    files: dict[str, str] = {}
    for device in kustomizations.DEVICES:
        autoscaled, patch = "", []
        for found in scaled.values():
            autoscaled, patch = found["kind"], scaling.utilization_patch(app, device, deployment)
        overlay = kustomizations.overlay(
            app, device, kind=kind, pod=pod, autoscaled=autoscaled, scaling=patch, tolerant=tolerant
        )
        files |= _below(device, overlay)
    return files


def _export(app: App) -> dict[str, str]:
    assert app.chosen.export is not None
    files = export_jobs.files(app, app.chosen.export)
    objects = [name for name in files if name not in (export_jobs.SCRIPT, export_jobs.JOB_FILE)]
    maps = {"export": [export_jobs.SCRIPT, export_jobs.JOB_FILE]}
    document = kustomizations.folder(app, objects, maps, namespace=app.chosen.namespace)
    return files | {"kustomization.yaml": document}
