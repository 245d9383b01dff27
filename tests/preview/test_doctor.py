"""``genserve doctor`` against the preview server's metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.client import RequestError
from exporter.client.rest import RestClient
from exporter.doctor.live_metrics import metrics_findings
from exporter.doctor.live_server import metrics_page
from exporter.manifest import Manifest
from exporter.preview import PreviewServer
from tests.serving_configs.manifests import manifest


def test_what_doctor_reads_of_a_server(
    start: Callable[..., PreviewServer], toy_versions: Path, tmp_path: Path
) -> None:
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    parameters = tmp_path / "batching.config"
    parameters.write_text("max_batch_size { value: 4 } allowed_batch_sizes: 4")
    fields: dict[str, Any] = {"model_name": "toy", "model_base_path": toy_versions}
    fields |= {"batching_parameters_file": parameters}
    server = start(**fields, monitoring_config_file=monitoring)
    client = RestClient(server.rest_url, "toy")
    client.predict("serving_default", {"text": ["a"]})
    with pytest.raises(RequestError):
        client.predict("serving_default", {"text": ["boom"]})

    def found(version: Manifest) -> set[str]:
        findings = metrics_findings(lambda: metrics_page(server.rest_url, None, None, 10.0), (version,))
        return {finding.id for finding in findings if finding.severity != "good"}

    assert found(manifest(warmup=manifest().warmup.model_copy(update={"records": 0}))) == {"failed-requests"}
    other = manifest().model_copy(
        update={"buckets": manifest().buckets.model_copy(update={"batch_sizes": (8,)})}
    )
    assert found(other) == {"failed-requests", "batch-sizes", "warmup-not-run"}
