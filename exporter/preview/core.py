"""What both protocols share: a request by model, version and signature, its answer, and its metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from exporter.preview.json_tensor import Tensors
from exporter.preview.manager import Manager
from exporter.preview.metrics import Metrics
from exporter.preview.servable import DEFAULT_SIGNATURE, Servable
from exporter.preview.status import Code, StatusError, invalid


@dataclass(frozen=True)
class ModelSpec:
    """Which servable a request means."""

    name: str
    version: int | None = None
    label: str | None = None


class Core:
    """The handlers behind REST and gRPC; every failure is a StatusError."""

    def __init__(self, manager: Manager, metrics: Metrics, model_root: Path = Path("/")) -> None:
        self.manager = manager
        self.metrics = metrics
        self.model_root = model_root  # where models are looked up whose base path does not exist

    def find(self, spec: ModelSpec) -> Servable:
        return self.manager.find(spec.name, spec.version, spec.label)

    def predict(
        self,
        servable: Servable,
        signature: str,
        tensors: Tensors,
        output_filter: Sequence[str] = (),
        *,
        entrypoint: str,
    ) -> Tensors:
        """Runs a signature and counts the request ("REST" or "GRPC" is its entrypoint)."""
        started = time.monotonic()
        name = signature or DEFAULT_SIGNATURE
        try:
            if name not in servable.signatures:
                raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
            outputs = servable.predict(servable.signatures[name], tensors, output_filter)
        except StatusError as error:
            self.metrics.count_request(servable.name, error.code.name)
            raise
        micros = (time.monotonic() - started) * 1e6
        self.metrics.count_request(servable.name, "OK")
        self.metrics.observe_latency(servable.name, entrypoint, micros)
        return outputs

    def status(self, spec: ModelSpec) -> Any:
        """A ``GetModelStatusResponse``."""
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in self.manager.status(spec.name, spec.version, spec.label):
            item = response.model_version_status.add(version=version.number, state=int(version.state))
            if version.error is not None:
                item.status.error_code = int(version.error.code)
                item.status.error_message = version.error.message
            else:
                item.status.error_code = 0
        return response

    def metadata(self, spec: ModelSpec, fields: Sequence[str] = ("signature_def",)) -> Any:
        """A ``GetModelMetadataResponse`` with the signatures."""
        if not fields:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in fields:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        servable = self.find(spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in servable.signature_defs.items():
            signatures.signature_def[name].CopyFrom(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        response.metadata["signature_def"].Pack(signatures)
        return response
