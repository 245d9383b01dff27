"""64 clients at once, mixing signatures, lengths and bad rows: every answer is the one given alone.

The short form runs for seconds, on toys; that of ``scripts/test --load`` for five minutes, on an exported
model behind ``genserve serve``. Both servers have the emitted configuration.
"""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.client import GrpcClient, RestClient
from exporter.deployment import write_serving_configs
from exporter.preview import files_beside
from serving_configs import render, write
from tests.conftest import ROOT
from tests.preview.load import Answer, Request, close, run
from tests.serving_configs.manifests import manifest

WORDS = ["once", "upon", "ä", "time", "bad row", "\U0001f600", "", "x" * 200]
# Largest difference of the toys' compiled product between batch sizes, relative to its values.
TOLERANCE = 1e-5


def a_toy_request(generator: random.Random) -> Request:
    rows = generator.randint(1, 8)
    signature = generator.choice(["serving_default", "copy", "compiled", "pair"])
    if signature == "compiled":
        return signature, {"x": [[generator.random() for _ in range(3)] for _ in range(rows)]}
    if signature == "pair":
        scale = [generator.random() for _ in range(rows)]
        return signature, {
            "scale": scale,
            "count": list(range(rows)),
            "negate": [bool(i % 2) for i in range(rows)],
        }
    return signature, {"text": [generator.choice(WORDS) for _ in range(rows)]}


def same_toy(request: Request, answer: Answer, alone: Answer) -> bool:
    return answer.keys() == alone.keys() and all(
        close(answer[name], value, TOLERANCE) for name, value in alone.items()
    )


def test_a_few_seconds(start: Any, toy_versions: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_versions, tmp_path / "stories")
    write(render([manifest(version=1), manifest(version=2)]), tmp_path / "serving")
    config = tmp_path / "serving" / "models.config"
    server = start(model_config_file=config, **files_beside(config))
    generator = random.Random(7)
    requests = [a_toy_request(generator) for _ in range(200)]
    with GrpcClient(server.grpc_target, "stories") as client:
        alone = [client.predict(*request) for request in requests]

    def connect(number: int) -> Any:
        if number % 2:
            return GrpcClient(server.grpc_target, "stories")
        return RestClient(server.rest_url, "stories")

    outcome = run(connect, requests, alone, same_toy, seconds=4)
    print(outcome)
    assert outcome.errors == []
    assert outcome.different == {}
    assert min(outcome.answered) > 0


# From one token to more than the longest bucket; bytes that are no text; nothing at all.
TEXTS: list[str | bytes] = [
    "Once upon a time",
    "1, 2, 3,",
    "The",
    "a b c d e f g h i j k l m n o p q",
    "Question: how many? " * 3,
    "Où est-ce? 東京\n",
    b"\xff\xfe",
    "",
    "word " * 200,
]
# Largest difference of the model's probabilities and log-likelihoods between batch sizes.
MODEL_TOLERANCE = 2e-3


def a_request(generator: random.Random) -> Request:
    """One to four rows; with ``generate``, each with its own options."""
    rows = range(generator.randint(1, 4))
    texts = [generator.choice(TEXTS) for _ in rows]
    signature = generator.choice(["serving_default", "generate", "generate", "score", "next_token", "encode"])
    columns: dict[str, Any] = {"text": texts}
    if signature == "score":
        columns["continuation"] = [generator.choice(["a time", " was", "4, 5"]) for _ in rows]
    if signature == "generate":
        columns |= {
            "max_new_tokens": [generator.choice([1, 5, 16, 99]) for _ in rows],  # 99 is a bad row
            "temperature": [generator.choice([0.0, 0.7, 1.2]) for _ in rows],
            "top_k": [generator.choice([0, 5]) for _ in rows],
            "top_p": [generator.choice([1.0, 0.9]) for _ in rows],
            "min_p": [0.0 for _ in rows],
            "repetition_penalty": [generator.choice([1.0, 1.3]) for _ in rows],
            "presence_penalty": [0.0 for _ in rows],
            "frequency_penalty": [0.0 for _ in rows],
            "seed": [generator.randrange(100) for _ in rows],
        }
    return signature, columns


def same_answer(request: Request, answer: Answer, alone: Answer) -> bool:
    """Equal; ids up to their count, since a merged batch pads them to its own longest row."""
    if answer.keys() != alone.keys():
        return False
    if request[0] == "next_token":
        # Tokens of nearly equal probability may change places.
        return close(answer["error"], alone["error"], 0) and close(
            answer["probabilities"], alone["probabilities"], MODEL_TOLERANCE
        )
    if "input_ids" in alone:
        counts = alone["num_tokens"].tolist()
        ids = [
            [row[:count].tolist() for row, count in zip(columns["input_ids"], counts, strict=True)]
            for columns in (answer, alone)
        ]
        return answer["num_tokens"].tolist() == counts and ids[0] == ids[1]
    return all(close(answer[name], value, MODEL_TOLERANCE) for name, value in alone.items())


@contextmanager
def serving(out: Path, log: Path) -> Iterator[tuple[int, str, str]]:
    """``genserve serve`` on free ports: its process, REST URL and gRPC address. It must end well."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(str(probe.getsockname()[1]))
    command = [sys.executable, "-m", "exporter", "serve", str(out), "--engine", "preview"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--rest-port", ports[0], "--grpc-port", ports[1]], cwd=ROOT, stderr=file
        )
    try:
        deadline = time.monotonic() + 600
        while "ready: REST" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield process.pid, f"http://127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()


def decided_within_the_margin(request: Request, reference: Any) -> bool:
    """Whether a greedy row of the request holds a decision that the batch size may turn around."""
    from tests.reference import MARGIN

    if request[0] != "serving_default":
        return False
    texts = [text for text in request[1]["text"] if isinstance(text, str)]
    prompts = [ids for text in texts if 0 < len(ids := reference.encode(text)) <= 48]
    return any(min(reference.greedy(ids, 16).gaps) < MARGIN for ids in prompts)


@pytest.mark.load
@pytest.mark.end_to_end
def test_five_minutes(tmp_path: Path) -> None:
    from exporter.demo import demo_path
    from exporter.exporting.pipeline import export
    from exporter.options import make_options
    from tests.reference import Reference

    export(
        make_options(
            {
                "model": "demo:stories",
                "max_new_tokens": 16,
                "prompt_lengths": [16, 48],
                "batch_sizes": [1, 4],
                "extra_signatures": ["generate", "score", "next_token"],
            }
        ),
        tmp_path / "out",
    )
    write_serving_configs(tmp_path / "out")
    generator = random.Random(11)
    requests = [a_request(generator) for _ in range(150)]
    with serving(tmp_path / "out", tmp_path / "log") as (process, url, target):
        with GrpcClient(target, "stories") as client:
            alone = [client.predict(*request) for request in requests]
        refused = sum(np.count_nonzero(answer["error"] != b"") for answer in alone)
        assert refused > 100  # bad rows stand among the good ones

        def connect(number: int) -> Any:
            return GrpcClient(target, "stories") if number % 2 else RestClient(url, "stories")

        outcome = run(connect, requests, alone, same_answer, seconds=300, process=process)
    print(outcome)
    assert outcome.errors == []
    assert min(outcome.answered) > 0
    reference = Reference(demo_path("stories"))
    wrong = [requests[i] for i in outcome.different if not decided_within_the_margin(requests[i], reference)]
    assert wrong == []
    assert outcome.memory[-1] < outcome.memory[len(outcome.memory) // 3] + 32
