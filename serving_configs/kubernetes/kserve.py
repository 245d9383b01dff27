"""KServe: a ServingRuntime of our own, and an InferenceService.

KServe's stock runtime pins a server that cannot run XLA on a GPU. Ours starts the server and flags of every
other run file; KServe's storage initializer brings the export directory to ``/mnt/models``.
"""

from __future__ import annotations

from typing import Any

from exporter.errors import OptionError
from serving_configs.kubernetes import gateway_front, pods, scaling, scraping, workloads
from serving_configs.kubernetes.app import App
from serving_configs.server_files import METRICS_PATH

#: What KServe gives its containers.
GRPC_PORT, REST_PORT, MODELS = 9000, 8080, "/mnt/models"
#: Names that KServe goes by: the server's container, and one in front of it in the same pod.
_SERVER, _FRONT = "kserve-container", "transformer-container"
_FORMAT = {"name": "genserve", "version": "1"}
_GROUP = "serving.kserve.io"
#: What KServe calls the Deployment of a predictor.
_DEPLOYMENT = "predictor"


def on_kserve(app: App) -> App:
    """The same deployment with KServe's ports and place of the models."""
    values = {"grpc_port": GRPC_PORT, "rest_port": REST_PORT, "model_root": MODELS, "https_port": 8443}
    return App(app.manifests, app.options.model_copy(update=values), app.release, follows_volume=False)


def storage_uri(app: App) -> str:
    """Where KServe finds the export directory.

    Raises:
      OptionError: it is in an image, which KServe would mount in another way.
    """
    if app.source == "claim":
        return f"pvc://{app.claim}/{app.chosen.claim_path}".rstrip("/")
    if app.source == "store":
        return str(app.options.source)
    raise OptionError("kubernetes.model_image: KServe takes the models from kubernetes.claim or source")


def _ports(app: App) -> list[dict[str, Any]]:
    """Names tell KServe the protocol; Knative admits one port."""
    rest = {"name": _rest_port(app), "containerPort": app.options.rest_port, "protocol": "TCP"}
    grpc_name = "grpc" if app.chosen.gateway else "h2c"
    grpc = {"name": grpc_name, "containerPort": app.options.grpc_port, "protocol": "TCP"}
    if not app.chosen.kserve.knative:
        return [rest, grpc]
    return [rest if app.chosen.kserve.protocol == "rest" else grpc]


def _rest_port(app: App) -> str:
    return "rest" if app.chosen.gateway else "http1"


def serving_runtime(app: App) -> dict[str, Any]:
    """Without what depends on the device; not chosen by itself, the InferenceService names it."""
    container = pods.server(app, _ports(app)) | {"name": _SERVER}
    container["volumeMounts"] = pods.mounts(app, models=False)
    if app.chosen.kserve.knative:
        # Knative takes no hooks, and what a pod says for all containers only where that was switched on.
        del container["lifecycle"]
        container["securityContext"] = pods.CONTAINER_SECURITY | pods.SHARED_SECURITY
    spec = {
        "supportedModelFormats": [_FORMAT | {"autoSelect": False}],
        "protocolVersions": ["v1", "grpc-v1"],
        "labels": {"app.kubernetes.io/part-of": app.labels()["app.kubernetes.io/part-of"]},
        "annotations": {
            "prometheus.kserve.io/port": str(app.options.rest_port),
            "prometheus.kserve.io/path": METRICS_PATH,
        },
        "containers": [container],
        "volumes": pods.volumes(app, models=False),
    }
    return app.object(f"{_GROUP}/v1alpha1", "ServingRuntime", spec=spec)


def inference_service(app: App) -> dict[str, Any]:
    chosen = app.chosen.kserve
    annotations: dict[str, str] = {f"{_GROUP}/deploymentMode": chosen.deployment_mode}
    predictor: dict[str, Any] = {
        "minReplicas": app.chosen.replicas,
        "maxReplicas": app.chosen.max_replicas if app.chosen.autoscaler != "none" else app.chosen.replicas,
        "model": {
            "modelFormat": _FORMAT,
            "runtime": app.name,
            "protocolVersion": "grpc-v1" if chosen.protocol == "grpc" else "v1",
            "storageUri": storage_uri(app),
        },
        "serviceAccountName": app.name,
        "automountServiceAccountToken": False,
    }
    if chosen.knative:
        # A pod that waits for one full batch is busy; beyond the server's threads it would refuse.
        rows = max(manifest.buckets.batch_sizes[-1] for manifest in app.manifests)
        predictor |= {"scaleMetric": "concurrency", "scaleTarget": chosen.scale_target or rows}
        if chosen.canary_percent is not None:
            predictor["canaryTrafficPercent"] = chosen.canary_percent
    else:
        none = app.chosen.autoscaler == "none"
        annotations[f"{_GROUP}/autoscalerClass"] = "none" if none else "external"
        predictor |= {
            "securityContext": pods.POD_SECURITY,
            "shareProcessNamespace": True,
            "terminationGracePeriodSeconds": pods.termination_seconds(app),
            "deploymentStrategy": workloads.strategy(app),
        }
    if app.chosen.gateway:
        predictor["containers"] = [_front(app)]
        if keys := gateway_front.keys_volumes(app.chosen.gateway):
            predictor["volumes"] = keys
    return app.object(
        f"{_GROUP}/v1beta1", "InferenceService", annotations=annotations, spec={"predictor": predictor}
    )


def _front(app: App) -> dict[str, Any]:
    """The gateway in the server's pod: KServe's Service leads to it, and the models are mounted into it."""
    assert app.chosen.gateway is not None
    backend = f"grpc://127.0.0.1:{app.options.grpc_port}"
    container = gateway_front.container(app, app.chosen.gateway, backend, app.options.model_root)
    container["ports"] = [{"name": "http1", "containerPort": app.chosen.gateway.port, "protocol": "TCP"}]
    return container | {"name": _FRONT}


def objects(app: App) -> dict[str, dict[str, Any]]:
    """File name -> object. Knative scales by itself.

    Raises:
      OptionError: the server asks for TLS, or there is a gateway on Knative.
    """
    if app.chosen.gateway and app.chosen.kserve.knative:
        raise OptionError(
            "kubernetes.gateway with kubernetes.kserve.deployment_mode Knative: Knative does not ask the "
            "state of a second container; leave out the gateway or use Standard"
        )
    if app.options.ssl:
        raise OptionError("target kserve with ssl: KServe speaks plaintext to the server; leave out ssl")
    found = {
        "servingruntime.yaml": serving_runtime(app),
        "inferenceservice.yaml": inference_service(app),
        "serviceaccount.yaml": service_account(app),
    }
    if autoscaled(app):
        found["autoscaler.yaml"] = scaling.autoscaler(app, deployment(app))
    if app.chosen.monitoring:
        found["prometheusrule.yaml"] = scraping.alerts(app)
    if app.chosen.monitoring and _rest_port(app) in {port["name"] for port in _ports(app)}:
        selector = {f"{_GROUP}/inferenceservice": app.name}
        found["podmonitor.yaml"] = scraping.pod_monitor(app, selector, _rest_port(app))
    return found


def service_account(app: App) -> dict[str, Any]:
    """KServe's storage initializer takes credentials from the account's secrets."""
    account = workloads.service_account(app)
    secret = app.chosen.credentials_secret
    return account | ({"secrets": [{"name": secret}]} if secret else {})


def autoscaled(app: App) -> bool:
    return not app.chosen.kserve.knative and app.chosen.autoscaler != "none"


def deployment(app: App) -> str:
    return app.suffixed(_DEPLOYMENT)
