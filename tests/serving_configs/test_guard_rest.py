"""The guard of the front on REST, in a real nginx: what it refuses, and that it changes nothing else."""

from __future__ import annotations

import json
import random
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from exporter.preview.server import PreviewServer
from serving_configs import guard
from tests.serving_configs.front import TOKEN, Front
from tests.serving_configs.manifests import manifest


@pytest.fixture(scope="module")
def post(guarded: Front) -> Iterator[Callable[..., httpx.Response]]:
    """``post(body, path)`` sends bytes or a document through the front."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(verify=str(guarded.ca), headers=headers, trust_env=False, timeout=20) as client:

        def send(body: Any, path: str = "/v1/models/toy:predict", method: str = "POST") -> httpx.Response:
            content = body if isinstance(body, bytes | Iterator) else json.dumps(body).encode()
            return client.request(method, guarded.url + path, content=content)

        yield send


TEXT = b'{"signature_name": "copy", "inputs": {"text": ["a"]}'

REFUSED: list[tuple[Any, str]] = [
    (b"", "the request has no body"),
    (b"{", "the body is not JSON"),
    (b'{"inputs": [NaN]}', "the body is not JSON"),
    (b'{"inputs": ["a"]} {}', "the body is not JSON"),
    ([{"inputs": ["a"]}], "the body is not a JSON object"),
    (None, "the body is not a JSON object"),
    ({"signature_name": "copy"}, 'either "inputs" or "instances"'),
    ({"inputs": ["a"], "instances": ["a"]}, 'either "inputs" or "instances"'),
    ({"inputs": {}}, "the request has no inputs"),
    ({"inputs": {"text": []}}, 'input "text" has no rows'),
    ({"inputs": []}, 'input "inputs" has no rows'),
    ({"instances": []}, 'input "instances" has no rows'),
    ({"instances": {}}, 'input "instances" is not a list of rows'),
    ({"instances": None}, 'input "instances" is not a list of rows'),
    ({"inputs": "a"}, 'input "inputs" is not a list of rows'),
    ({"inputs": {"text": {"b64": "YQ=="}}}, 'input "text" is not a list of rows'),
    ({"inputs": {"scale": [1.0], "count": []}}, 'input "count" has no rows'),
    ({"inputs": {"scale": [1.0], "count": [1, 2]}}, '"scale" and "count" have 1 and 2 rows'),
    ({"inputs": {"text": ["a"] * 9}}, 'the request has 9 rows; model "toy" takes at most 8'),
    ({"instances": [{"text": "a"}] * 9}, 'the request has 9 rows; model "toy" takes at most 8'),
    (TEXT.replace(b'"inputs"', b'"inputs": {"text": []}, "inputs"') + b"}", "a key stands twice"),
    (TEXT.replace(b'"text"', b'"text": [], "te\\u0078t"') + b"}", "a key stands twice"),
    (b'{"instances": [{"text": "\\\\", "text": "b"}]}', "a key stands twice"),
    (b'{"__proto__": 1, "__proto__": 2, "inputs": ["a"]}', "a key stands twice"),
    (b'{"inputs": ["a', "the body is not JSON"),
    (b'{"inputs": [' + b"{}," * 100_001 + b"{}]}", 'the body has more than 100000 "{"'),
    (b'{"inputs": ' + b"[" * 100 + b"]" * 100 + b"}", "the body is not JSON"),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_bodies_that_are_refused(post: Any, body: Any, message: str) -> None:
    response = post(body)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert message in response.json()["error"]


PASSED: list[Any] = [
    {"signature_name": "copy", "inputs": {"text": ["a"] * 8}},
    {"signature_name": "copy", "instances": [{"text": "a:\"b'\\"}, {"text": {"b64": "AP8="}}]},
    {"signature_name": "copy", "inputs": ['{"a": 1, "a": 2}', "\\", '\\\\"', "::", "\u00e9\U0001f600"]},
    {"signature_name": "pair", "inputs": {"scale": [1.5], "count": [2], "negate": [True]}},
    {"signature_name": "compiled", "instances": [[1, 2, 3], [-4e2, 5.5, 6]]},
    {"signature_name": "compiled", "inputs": [[]]},
    {"signature_name": "nope", "inputs": ["a"]},
    {"inputs": {"nope": ["a"], "constructor": ["a"]}},
    TEXT + b', "\\u00e9": {"\xc3\xa9 ": [{}, null, {"a": {"a": 1}}]}}',
    b"\r\n\t " + TEXT + b"}\n",
    TEXT.replace(b'"a"', b'"\xff\xfe"') + b"}",
]


@pytest.mark.parametrize("body", PASSED)
def test_other_bodies_are_answered_as_without_the_front(post: Any, server: PreviewServer, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    for path in ("/v1/models/toy:predict", "/v1/models/toy/versions/1:predict"):
        alone = httpx.post(server.rest_url + path, content=content, trust_env=False)
        through = post(content, path)
        assert (through.status_code, through.content) == (alone.status_code, alone.content)


def _document(random_: random.Random, depth: int = 0) -> str:
    """A JSON value with many keys, some of them twice, and strings that look like keys."""
    kind = random_.randrange(5 if depth < 4 else 2)
    if kind < 2:
        return random_.choice(["1", "-2.5e3", "null", "true", json.dumps('"a": {\\'), '"\\\\\\":"', '""'])
    count = random_.randrange(4)
    values = [_document(random_, depth + 1) for _ in range(count)]
    if kind == 2:
        return f"[{' , '.join(values)}]"
    keys = [random_.choice(['"a"', '"\\u0061"', '"b\\""', '"c:"', '"\\\\"', '"d"', '"e"']) for _ in values]
    return "{" + ",".join(f"{key} : {value}" for key, value in zip(keys, values, strict=True)) + "}"


def test_duplicate_keys_are_found_wherever_they_stand(post: Any) -> None:
    """Python's parser, which hands over all pairs, says which documents have some."""
    twice: list[bool] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        twice[-1] = twice[-1] or len(dict(items)) < len(items)
        return dict(items)

    generator = random.Random(17)
    for _ in range(100):
        body = f'{{"signature_name": "copy", "inputs": ["a"], "more": {_document(generator)}}}'
        twice.append(False)
        json.loads(body, object_pairs_hook=pairs)
        response = post(body.encode())
        expected = (
            {"error": "a key stands twice in an object of the body"} if twice[-1] else {"outputs": ["a"]}
        )
        assert response.json() == expected, body
    assert 15 < sum(twice) < 85


def test_the_largest_body_is_read_whole(post: Any) -> None:
    body = TEXT + b"}"
    filled = body.replace(b'"a"', b'"' + b"a" * (2**20 - len(body) + 1) + b'"')
    assert len(filled) == 2**20
    assert post(filled).json() == {"outputs": ["a" * (2**20 - len(body) + 1)]}
    chunks = (filled[at : at + 50_000] for at in range(0, len(filled), 50_000))  # of an unstated length
    assert post(chunks).json() == {"outputs": ["a" * (2**20 - len(body) + 1)]}
    assert post(filled + b" ").status_code == 413


def test_chunks_too_small_to_be_kept_are_refused(guarded: Front) -> None:
    """Two bytes each, with five more around them: the largest body does not fit nginx's buffer then."""
    head = (
        f"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    context = ssl.create_default_context(cafile=str(guarded.ca))
    with (
        socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(head.encode() + b"2\r\n  \r\n" * 2**19 + b"0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    # Newer versions of njs read the file; the body holds nothing but spaces.
    assert b"send it with a Content-Length" in answer or b"the body is not JSON" in answer


def test_only_predictions_and_status_get_through(post: Any) -> None:
    body = {"inputs": []}
    for path in (
        "/v1/models/toy:classify",
        "/v1/models/toy:PREDICT",
        "/v1/models/toy",
        "/V1/models/toy:predict",
    ):
        assert post(body, path).status_code == 404
    assert post(b"", method="GET").status_code == 404
    for path in ("/v1/models/%74oy:predict", "/v1//models/x/../toy:predict", "/v1/models/toy%3apredict?a=b"):
        assert 'input "inputs" has no rows' in post(body, path).json()["error"]


def test_an_input_name_may_hold_anything(post: Any) -> None:
    name = 'né"\n%'
    assert post({"inputs": {name: []}}).json() == {"error": f'input "{name}" has no rows; send at least one'}


def test_limits_are_the_largest_of_every_version() -> None:
    versions = [
        manifest("a"),
        manifest("a", 2, buckets=manifest().buckets.model_copy(update={"batch_sizes": (1, 16)})),
    ]
    assert 'const LARGEST = {"a": 16, "b": 8};' in guard.render([*versions, manifest("b")])
