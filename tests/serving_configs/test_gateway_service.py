"""The gateway as a service: in the compose file, and behind a real nginx with a stream through it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
import yaml
from pydantic import ValidationError

from exporter.preview.server import PreviewServer
from serving_configs import ServingOptions, nginx, render
from tests.gateway.conftest import Running
from tests.serving_configs import front as fronts
from tests.serving_configs.front import TOKEN, Front
from tests.serving_configs.manifests import manifest


def test_compose_has_it_where_it_is_asked_for() -> None:
    services = yaml.safe_load(render([manifest("toy")], ServingOptions(gateway=True))["docker-compose.yaml"])[
        "services"
    ]
    gateway = services["gateway"]
    assert "ports" not in gateway  # the front alone reaches it
    assert gateway["command"][:2] == ["genserve", "gateway"]
    assert gateway["command"][-4:] == ["--backend", "grpc://serving:8500", "--manifest", "/models"]
    assert gateway["image"].startswith("${GENSERVE_IMAGE:?")
    assert services["front"]["depends_on"] == ["gateway"]
    plain = render([manifest("toy")], ServingOptions())
    assert "gateway" not in yaml.safe_load(plain["docker-compose.yaml"])["services"]
    assert "gateway" not in plain["nginx.conf.template"]


def test_not_with_tls_of_the_server() -> None:
    with pytest.raises(ValidationError, match="gateway: not together with ssl"):
        ServingOptions.model_validate(
            {"gateway": True, "ssl": {"server_key": "-----BEGIN", "server_cert": "-----BEGIN"}}
        )


@pytest.fixture
def running() -> Iterator[Running]:
    gateway = Running()
    yield gateway
    gateway.stop()


def test_openai_through_the_front(
    server: PreviewServer, tmp_path: Path, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(nginx.render.__kwdefaults__, "gateway", running.url.removeprefix("http://"))
    front = Front(tmp_path, server, fronts.OPTIONS.model_copy(update={"gateway": True}))
    try:
        trust = ssl.create_default_context(cafile=str(front.ca))
        with httpx.Client(verify=trust, trust_env=False) as http:
            client = openai.OpenAI(base_url=front.url + "/v1", api_key=TOKEN, http_client=http, max_retries=0)
            chunks = client.completions.create(model="toy", prompt="abc" * 9, max_tokens=27, stream=True)
            texts = [chunk.choices[0].text for chunk in chunks]
            assert len(texts) > 1
            assert "".join(texts) == "cba" * 9
            assert [model.id for model in client.models.list()] == ["toy", "whole", "plain"]
            for path in ("/health", "/metrics", "/v1/embeddings"):
                assert (
                    http.get(front.url + path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code
                    == 404
                )
            with pytest.raises(openai.AuthenticationError):
                client.with_options(api_key="wrong").models.list()
    finally:
        front.stop()
