"""A page at the preview server's own address, and what it asks; other paths stay TensorFlow Serving's."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from exporter.cli.serving import _page
from exporter.gateway.app import Gateway
from exporter.gateway.models import Models
from exporter.gateway.served_model import ServedModel
from exporter.gateway.settings import Settings
from exporter.preview import PreviewServer, ServerConfig
from exporter.preview.rest import Page
from serving_configs import ServingOptions, SslOptions
from tests.gateway.fake import FakeModel, manifest


def test_the_page_and_the_servers_own_paths(toy_versions: Path) -> None:
    targets, closed = list[str](), list[bool]()

    class Closing(FakeModel):
        async def close(self) -> None:
            closed.append(True)

    def page(target: str) -> Page:
        targets.append(target)
        models = Models({"toy": ServedModel(manifest(), Closing())}, rows_at_once=4)
        return Gateway(models, Settings(ui=True)).page_routes, models.close

    config = ServerConfig(
        model_name="toy", model_base_path=toy_versions, rest_port=0, grpc_port=0, poll_seconds=0
    )
    with PreviewServer(config, page) as server, httpx.Client(base_url=server.rest_url) as http:
        assert targets == [server.grpc_target]
        assert "<title>genserve" in http.get("/").text
        assert http.get("/ui/page.js").status_code == 200
        assert http.get("/ui/models").json()[0]["id"] == "toy"
        asked = {"model": "toy", "prompt": "abc"}
        assert http.post("/v1/completions", json=asked).json()["choices"][0]["text"] == "cba"
        events = http.post("/v1/completions", json=asked | {"stream": True}).text
        assert events.endswith("data: [DONE]\n\n")
        status = http.get("/v1/models/toy").json()["model_version_status"]
        assert [one["state"] for one in status] == ["AVAILABLE"]
        assert http.get("/v1/models").json() == {"error": "Missing model name in request."}
        for path in ("/v1/completions", "/v1/embeddings"):
            assert http.get(path).json() == {"error": f"Malformed request: GET {path}"}
        assert http.get("/health").status_code == 404
        assert closed == []
    assert closed == [True]


def test_no_page_where_it_could_not_ask(caplog: pytest.LogCaptureFixture) -> None:
    assert _page([manifest()], ServingOptions()) is not None
    ssl = SslOptions.model_construct(server_key="", server_cert="")
    assert _page([manifest()], ServingOptions.model_construct(ssl=ssl)) is None
    assert "no page to try the models: it asks the server without TLS" in caplog.text
