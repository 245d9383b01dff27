"""What a deployment may choose; everything else comes from the manifests."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from exporter.choices import DeployTarget
from serving_configs.kubernetes_options import KubernetesOptions


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SslOptions(_Frozen):
    """TLS of the server's gRPC port (its REST port stays plaintext): PEM texts, not paths.

    ``client_verify`` asks clients for a certificate signed by ``custom_ca`` (mutual TLS).
    """

    server_key: str
    server_cert: str
    custom_ca: str = ""
    client_verify: bool = False

    @model_validator(mode="after")
    def _check(self) -> SslOptions:
        for name in ("server_key", "server_cert"):
            if "-----BEGIN" not in getattr(self, name):
                raise ValueError(f"{name} is not a PEM text")
        if self.client_verify and not self.custom_ca:
            raise ValueError("client_verify needs custom_ca, the certificate authority of the clients")
        return self


class ServingOptions(_Frozen):
    """Options of every rendered file.

    Attributes:
      serving_version: "2.19" | "2.20" | "2.21"; None is the oldest release that runs every model.
      batching: whether the server merges requests (needs row errors as data, see the exporter's options).
      latency_goal_seconds: how long a request may take, waiting included; sizes the queue.
      concurrent_clients: how many requests may be in work or waiting at once; None: 64 where no batch was
        measured, else as many as the latency goal allows.
      batch_seconds: measured time of one full batch in the longest bucket; None: the manifests' own.
      batch_timeout_micros: how long an open batch waits for company; None: 1 % of the goal, at most 50 ms.
      rest_timeout_seconds: after which a REST request is given up; None: 120, or three times the longest wait
        that the queue allows where a batch was measured.
      version_policy: "latest" (``num_versions`` of them; of a model with labels those that are labelled),
        "all", or "specific" (the manifests' versions).
      version_labels: model name -> label -> version; ``genserve promote`` and ``rollback`` write them.
      label_history: model name -> label -> the versions that it named before, the oldest first.
      loading: model name -> versions that are loaded before a label moves to them.
      keep_former: whether the version that a label named last stays loaded, for a rollback at once.
      poll_seconds: how often the server looks for new versions and a changed models.config; 0: once.
      model_root: where the export directory is mounted in the container.
      gpu_memory_gib: memory of the GPU, to plan the server's share of it; None: no plan.
      intra_op_threads, inter_op_threads: the session's thread pools; None: the server's choice.
      xla_cache: whether run files use a compilation cache that ``genserve warm`` has filled.
      source: URL of the export directory in an object store, which docker-compose.yaml pulls first; an export
        to a URL sets it.
      gateway: whether docker-compose.yaml has a gateway with OpenAI's API behind the front (docs/gateway.md).
      targets: what files are written for beside Docker and a server without a container.
      kubernetes: the objects of the targets "kubernetes" and "kserve".
      server_name, max_request_mib, requests_per_second, burst: the TLS front.
    """

    serving_version: str | None = None
    source: str | None = Field(default=None, pattern=r"^[a-z0-9+.-]+://[^\s${}]+$")
    grpc_port: int = Field(default=8500, ge=1, le=65535)
    rest_port: int = Field(default=8501, ge=1, le=65535)
    https_port: int = Field(default=8443, ge=1, le=65535)
    batching: bool = True
    latency_goal_seconds: float = Field(default=10.0, gt=0)
    concurrent_clients: int | None = Field(default=None, ge=1)
    batch_seconds: float | None = Field(default=None, gt=0)
    batch_timeout_micros: int | None = Field(default=None, ge=0)
    rest_timeout_seconds: float | None = Field(default=None, gt=0)
    version_policy: Literal["latest", "all", "specific"] = "latest"
    num_versions: int = Field(default=1, ge=1)
    version_labels: dict[str, dict[str, int]] = {}
    label_history: dict[str, dict[str, list[int]]] = {}
    loading: dict[str, list[int]] = {}
    keep_former: bool = True
    poll_seconds: int = Field(default=0, ge=0)
    model_root: str = "/models"
    gpu_memory_gib: float | None = Field(default=None, gt=0)
    intra_op_threads: int | None = Field(default=None, ge=1)
    inter_op_threads: int | None = Field(default=None, ge=1)
    xla_cache: bool = True
    ssl: SslOptions | None = None
    gateway: bool = False
    server_name: str = "localhost"
    max_request_mib: int = Field(default=4, ge=1)
    requests_per_second: int = Field(default=20, ge=1)
    burst: int = Field(default=40, ge=1)
    targets: tuple[DeployTarget, ...] = ()
    kubernetes: KubernetesOptions = KubernetesOptions()

    @model_validator(mode="after")
    def _check(self) -> ServingOptions:
        ports = [self.grpc_port, self.rest_port, self.https_port]
        if len(set(ports)) != len(ports):
            raise ValueError(f"grpc_port, rest_port and https_port must differ: {ports}")
        if self.gateway and self.ssl:
            raise ValueError("gateway: not together with ssl; it reaches the server without TLS")
        if not self.model_root.startswith("/") or self.model_root.endswith("/"):
            raise ValueError(f"model_root {self.model_root!r} must be absolute, without a slash at its end")
        return self
