"""What a deployment on Kubernetes may choose (``kubernetes:`` in the serving options)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from exporter.errors import did_you_mean

#: RFC 1123: what Kubernetes takes as a name that becomes part of a host name.
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
#: The same, with dots: names of secrets, claims and the like.
DNS_NAME = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"
#: Of the longest name that we form (``NAME-grpc-predictor`` and kin) at most 63 characters remain.
_NAME_LENGTH = 40
_IMAGE = r"^[^\s:@]+(:[0-9]+/[^\s:@]+)?(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
#: Said where one is missing.
IMAGE_RECIPE = "'genserve help images' has its Dockerfile"
_SCHEDULE = r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|\S+( \S+){4})$"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: Any) -> Any:
        if isinstance(values, dict) and (unknown := [key for key in values if key not in cls.model_fields]):
            named = ", ".join(f"{key!r}{did_you_mean(str(key), cls.model_fields)}" for key in unknown)
            raise ValueError(f"unknown: {named}; allowed: {', '.join(cls.model_fields)}")
        return values


class GatewayOptions(_Frozen):
    """OpenAI's API in front of the server (``genserve gateway``), as a Deployment and Service of its own.

    Attributes:
      timeout_seconds: for a whole answer.
      keys_secret: a Secret whose key ``keys`` is the file of API keys; None: it asks for none.
    """

    replicas: int = Field(default=2, ge=1)
    port: int = Field(default=8000, ge=1024, le=65535)
    timeout_seconds: int = Field(default=300, ge=1)
    keys_secret: str | None = Field(default=None, pattern=DNS_NAME)
    cpu: float = Field(default=1, gt=0)
    memory_mib: int = Field(default=512, ge=64)


class ExportJobOptions(_Frozen):
    """A Job, or with a schedule a CronJob: export, verify, and let a label name the new version.

    Attributes:
      job: a job file of ``genserve export``, as a mapping; its ``output`` is the pods' models.
      schedule: five fields of cron, or @daily and kin; None: one Job.
      label: what names the version afterwards.
      cpu: CPU cores asked for.
      memory_gib: None: what the exported versions took, as their manifests say, and a quarter more.
    """

    job: dict[str, Any]
    schedule: str | None = Field(default=None, pattern=_SCHEDULE)
    label: str = Field(default="stable", min_length=1)
    cpu: float = Field(default=2, gt=0)
    memory_gib: float | None = Field(default=None, gt=0)


class KServeOptions(_Frozen):
    """The InferenceService.

    Attributes:
      deployment_mode: Standard (plain Deployments) or Knative.
      canary_percent: share of the requests that a changed InferenceService gets first; Knative alone.
      protocol: the one port that Knative admits; Standard has both.
      scale_target: concurrent requests for each pod, Knative alone; None: one full batch.
    """

    deployment_mode: Literal["Standard", "Knative"] = "Standard"
    canary_percent: int | None = Field(default=None, ge=0, le=100)
    protocol: Literal["rest", "grpc"] = "rest"
    scale_target: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check(self) -> KServeOptions:
        for field in ("canary_percent", "scale_target"):
            if getattr(self, field) is not None and self.deployment_mode != "Knative":
                raise ValueError(f"{field} needs deployment_mode Knative, not {self.deployment_mode}")
        return self

    @property
    def knative(self) -> bool:
        return self.deployment_mode == "Knative"


class KubernetesOptions(_Frozen):
    """Options of the objects on Kubernetes.

    Attributes:
      name: of the objects; None: the model's, or "genserve" for several.
      namespace: None: the one that they are applied to.
      replicas: pods, and the fewest of them with an autoscaler.
      max_surge: pods more than that during a rollout; 0 where there is no GPU to spare: a pod goes first.
      claim, claim_path: a PersistentVolumeClaim that holds the export directory, and where on it; None:
        ``NAME-models``, if there is neither of the following.
      model_image: an image that holds the export directory at ``model_root`` (OUT/serving/Dockerfile).
        Without it and ``claim``, pods pull ``source``, the URL of the export directory, if that is set.
      genserve_image: an image with genserve installed; pulls from ``source``, gateway and exports need it.
      credentials_secret: a Secret with variables for the object store and the hub.
      service_account_annotations: such as those that let pods act as a cloud account.
      cache_claim: a claim with the compilation caches; None: those in the export directory.
      cpu: CPU cores that a server asks for.
      gpu_resource: what a GPU is called: a MIG slice has its own name.
      node_selector: labels of the nodes for GPU pods.
      autoscaler: "hpa" (with prometheus-adapter), "keda", or "none".
      max_replicas: the most pods.
      utilization_percent: a second goal: of the GPU (DCGM exporter) or CPU; None: queueing alone.
      prometheus_url: KEDA asks it.
      monitoring: whether there are a ServiceMonitor and a PrometheusRule (Prometheus operator).
      monitoring_labels: of both, where Prometheus goes by labels (such as ``release``).
      monitoring_namespace: from where Prometheus reaches the pods.
      egress_ports: TCP ports that pods may call which pull models or export.
      gateway, export, kserve: see there.
    """

    name: str | None = Field(default=None, pattern=DNS_LABEL, max_length=_NAME_LENGTH)
    namespace: str | None = Field(default=None, pattern=DNS_LABEL, max_length=63)
    replicas: int = Field(default=1, ge=1)
    max_surge: int = Field(default=1, ge=0)
    claim: str | None = Field(default=None, pattern=DNS_NAME)
    claim_path: str = Field(default="", pattern=r"^([^/\s][^\s]*)?$")
    model_image: str | None = Field(default=None, pattern=_IMAGE)
    genserve_image: str | None = Field(default=None, pattern=_IMAGE)
    credentials_secret: str | None = Field(default=None, pattern=DNS_NAME)
    service_account_annotations: dict[str, str] = {}
    cache_claim: str | None = Field(default=None, pattern=DNS_NAME)
    cpu: float = Field(default=2, gt=0)
    gpu_resource: str = Field(default="nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    node_selector: dict[str, str] = {}
    autoscaler: Literal["hpa", "keda", "none"] = "hpa"
    max_replicas: int = Field(default=4, ge=1)
    utilization_percent: int | None = Field(default=None, ge=1, le=100)
    prometheus_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    monitoring: bool = True
    monitoring_labels: dict[str, str] = {}
    monitoring_namespace: str = Field(default="monitoring", pattern=DNS_LABEL)
    egress_ports: tuple[int, ...] = (443,)
    gateway: GatewayOptions | None = None
    export: ExportJobOptions | None = None
    kserve: KServeOptions = KServeOptions()

    @model_validator(mode="after")
    def _check(self) -> KubernetesOptions:
        if self.claim and self.model_image:
            raise ValueError("claim and model_image: the models come from one of them")
        if self.claim_path and self.model_image:
            raise ValueError("claim_path and model_image: the models come from one of them")
        if ".." in self.claim_path.split("/"):
            raise ValueError(f"claim_path {self.claim_path!r} must not leave the volume")
        if self.autoscaler != "none" and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is less than replicas {self.replicas}")
        if self.autoscaler == "keda" and not self.prometheus_url:
            raise ValueError("autoscaler keda needs prometheus_url, which KEDA asks")
        if self.gateway and not self.genserve_image:
            raise ValueError(
                f"gateway needs genserve_image, an image with genserve[gateway] installed: {IMAGE_RECIPE}"
            )
        if self.export and not self.genserve_image:
            raise ValueError(
                "export needs genserve_image, an image with genserve[export,remote] installed: "
                + IMAGE_RECIPE
            )
        if self.export and self.model_image:
            raise ValueError("export writes to claim or to source; an image cannot be written")
        return self
