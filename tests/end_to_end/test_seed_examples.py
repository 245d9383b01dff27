"""The examples of the 2022 article, one by one, each as docs/migration.md says it is done here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from exporter.client import Client, Completion
from exporter.demo import demo_path
from exporter.deployment import write_serving_configs
from exporter.exporting.pipeline import ExportResult, export
from exporter.options import make_job
from exporter.preview import PreviewServer, ServerConfig
from tests.conftest import ROOT
from tests.docs.signatures import differences
from tests.reference import Reference

pytestmark = [pytest.mark.end_to_end, pytest.mark.parity]

_PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
_JOB = re.findall(r"<!-- job -->\n```yaml\n(.*?)```", _PAGE, re.DOTALL)
_NOW = re.findall(r"<!-- now -->\n```python\n(.*?)```", _PAGE, re.DOTALL)
PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """The page's job, with one batch size, and what further tests here look at."""
    flags = {
        "batch_sizes": [2],
        "extra_signatures": ["generate", "next_token", "prompt_logprobs"],
        "generation": {"logprobs": 2},
        "warmup": "none",
        "verify": "none",
    }
    job = make_job(yaml.safe_load(_JOB[0]), tmp_path_factory.mktemp("seed"), flags, "docs/migration.md")
    return export(job.exports[0], job.output)


@pytest.fixture(scope="module")
def server(exported: ExportResult) -> Iterator[PreviewServer]:
    out = exported.directory.parent.parent
    write_serving_configs(out)
    config = out / "serving" / "models.config"
    # Nothing is warmed up: the first answer of each signature waits for its compilation.
    settings = ServerConfig(config, rest_port=0, grpc_port=0, rest_api_timeout_in_ms=600_000)
    with PreviewServer(settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: PreviewServer) -> Iterator[Client]:
    with Client(f"grpc://{server.grpc_target}", "stories", timeout=600.0) as made:
        yield made


@pytest.fixture(scope="module")
def answers(server: PreviewServer) -> dict[str, Any]:
    """What the names of the page's Python stand for, once all of it has run."""
    names: dict[str, Any] = {}
    for block in _NOW:
        text = block.replace('"http://localhost:8501"', f'"{server.rest_url}", timeout=600.0')
        exec(compile(text, "migration.md", "exec"), names)
    names["client"].close()
    return names


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(demo_path("stories"))


def _ask(client: Client, texts: list[str], **options: float) -> list[str]:
    """The ``generate`` signature with every option neutral but the given ones, a seed, and temperature 1."""
    values = {"max_new_tokens": 30, "temperature": 1.0, "seed": 42} | options
    completions = client.generate(texts, **values)
    assert [completion.error for completion in completions] == [""] * len(texts)
    return [completion.text for completion in completions]


def test_sampling_is_determined_by_its_seed(client: Client) -> None:
    sampled = _ask(client, [PROMPT])
    assert _ask(client, [PROMPT]) == sampled
    assert _ask(client, ["A fox", PROMPT])[1] == sampled[0], "the same row in another batch"
    others = {_ask(client, [PROMPT], seed=seed)[0] for seed in range(5)}
    assert len(others) > 1
    unpredictable = _ask(client, [PROMPT, PROMPT], seed=-1, temperature=2.0)
    assert unpredictable[0] != unpredictable[1]


def test_length_is_controlled_per_row(client: Client, reference: Reference) -> None:
    long, short = _ask(client, [PROMPT]), _ask(client, [PROMPT], max_new_tokens=5)
    assert long[0].startswith(short[0])
    assert len(reference.encode(short[0])) <= 5 < len(reference.encode(long[0]))


def test_temperature_and_top_p(client: Client, reference: Reference) -> None:
    greedy = reference.greedy(reference.encode(PROMPT), 30)
    expected = reference.tokenizer.decode(greedy.ids, skip_special_tokens=True)
    assert _ask(client, [PROMPT], temperature=0.0) == [expected]
    assert _ask(client, [PROMPT], top_p=1e-6) == [expected], "only the most probable token is left"
    assert _ask(client, [PROMPT], top_k=1) == [expected]
    assert _ask(client, [PROMPT], temperature=1e-4) == [expected]
    assert len({_ask(client, [PROMPT], temperature=1.5, seed=seed)[0] for seed in range(4)}) > 1


def _text(completions: list[Completion]) -> str:
    (answer,) = completions
    assert not answer.error
    return answer.text


def test_the_page_answers_as_the_signatures_do(
    answers: dict[str, Any], client: Client, reference: Reference
) -> None:
    assert _text(answers["sampled"]) == _ask(client, [PROMPT], top_k=50)[0]
    assert _text(answers["limited"]) == _ask(client, [PROMPT], top_k=50, max_new_tokens=5)[0]
    assert _text(answers["cooler"]) == _ask(client, [PROMPT], top_k=50, temperature=0.7)[0]
    assert _text(answers["hotter"]) == _ask(client, [PROMPT], top_k=50, temperature=1.5)[0]
    assert _text(answers["nucleus"]) == _ask(client, [PROMPT], top_k=50, top_p=0.9)[0]
    assert [_text(answers["beam"])] == _beams(reference, 1)
    assert list(answers["hypotheses"][0].texts) == _beams(reference, 2)
    with torch.no_grad():
        logits = reference.model(torch.tensor([reference.encode(PROMPT)])).logits[0, -1]
    assert answers["likely"].id == int(torch.argmax(logits))
    for name, prompt in (("short", "Once upon"), ("longer", "Once upon a time there was a")):
        greedy = reference.greedy(reference.encode(prompt), 30)
        assert answers[name].text == reference.tokenizer.decode(greedy.ids, skip_special_tokens=True)


def _beams(reference: Reference, sequences: int) -> list[str]:
    """The best texts of PyTorch's beam search with two beams."""
    inputs = torch.tensor([reference.encode(PROMPT)])
    with torch.no_grad():
        found = reference.model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            num_beams=2,
            num_return_sequences=sequences,
            do_sample=False,
            max_new_tokens=30,
            pad_token_id=0,
        )
    return reference.tokenizer.batch_decode(found[:, inputs.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("sequences", [1, 2])
def test_beam_search(client: Client, reference: Reference, sequences: int) -> None:
    answer = client.predict("beams" if sequences == 1 else "hypotheses", {"text": [PROMPT]})
    texts = [text.decode() for text in np.ravel(answer["generated_text"])]
    assert texts == _beams(reference, sequences)
    assert answer["generated_text"].shape == ((1,) if sequences == 1 else (1, 2))


def test_most_likely_next_token(client: Client, reference: Reference) -> None:
    answer = client.predict("next_token", {"text": [PROMPT]})
    with torch.no_grad():
        logits = reference.model(torch.tensor([reference.encode(PROMPT)])).logits[0, -1]
    assert answer["tokens"][0, 0] == int(torch.argmax(logits))
    np.testing.assert_allclose(
        answer["probabilities"][0], torch.topk(torch.softmax(logits, -1), 10).values, atol=1e-4
    )


def test_perplexity_of_prompts(client: Client, reference: Reference) -> None:
    """Rows of both length buckets, and two bad ones beside them."""
    texts = [PROMPT, "The little dog ran to the tree", "One"]
    rows = [reference.encode(text) for text in texts]
    padded = [row + [3] * (16 - len(row)) for row in (*rows, [1, -5], [])]
    counts = [len(row) for row in (*rows, [1, -5], [])]
    ours = client.predict("prompt_logprobs", {"input_ids": padded, "num_tokens": counts})
    for number, row in enumerate(rows):
        with torch.no_grad():
            expected = torch.log_softmax(reference.model(torch.tensor([row])).logits[0, :-1], -1)
        here = ours["logprobs"][number]
        np.testing.assert_allclose(here[1 : len(row)], expected[range(len(row) - 1), row[1:]], atol=1e-4)
        assert not here[[0, *range(len(row), 16)]].any()
        top = torch.topk(expected, 2)
        assert ours["top_tokens"][number, 1 : len(row)].tolist() == top.indices.tolist()
        np.testing.assert_allclose(ours["top_logprobs"][number, 1 : len(row)], top.values, atol=1e-4)
    assert ours["num_tokens"].tolist() == [*map(len, rows), 0, 0]
    errors = ours["error"].tolist()
    assert errors[:3] == [b""] * 3
    assert b"input_ids: -5 is not in the vocabulary" in errors[3]
    assert errors[4] == b"num_tokens: the prompt is empty; allowed: 1 to 16 tokens"
    assert not ours["logprobs"][3:].any()


def test_padding_to_a_multiple(exported: ExportResult) -> None:
    assert exported.manifest.buckets.prompt_lengths == (8, 16)


def test_signatures_are_those_documented(exported: ExportResult) -> None:
    assert not differences(exported.manifest)
