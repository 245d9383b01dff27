"""Published models against PyTorch transformers: no flag, the same text, the same probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import tensorflow as tf
import transformers

from exporter.tokenizer import verify_tokenizer
from exporter.tokenizer.oracles import compare_origins
from tests.conftest import TEST_DATA
from tests.real.conftest import MAX_NEW_TOKENS, RealModel, genserve
from tests.real.prompts import CHATS, PROMPTS
from tests.reference import assert_same_greedy
from tests.tokenizer.support import corpus_lines

pytestmark = [pytest.mark.real, pytest.mark.parity, pytest.mark.timeout(2700)]
#: Between a log-probability and the reference's.
TOLERANCE = 1e-3


def in_requests(signature: Any, size: int, **columns: Sequence[Any]) -> dict[str, list[Any]]:
    """All rows of the columns, ``size`` in a request; no row may be answered with an error."""
    answers: dict[str, list[Any]] = {}
    for start in range(0, len(next(iter(columns.values()))), size):
        rows = {name: tf.constant(column[start : start + size]) for name, column in columns.items()}
        for name, values in signature(**rows).items():
            answers.setdefault(name, []).extend(values.numpy())
    assert answers["error"] == [b""] * len(answers["error"])
    return answers


def as_inputs(rows: Sequence[list[int]]) -> dict[str, list[Any]]:
    """Ids as ``tokens`` and ``prompt_logprobs`` take them."""
    padded = [ids + [0] * (64 - len(ids)) for ids in rows]
    return {"input_ids": padded, "num_tokens": [len(ids) for ids in rows]}


def greedy_ids(model: RealModel, rows: Sequence[list[int]], size: int) -> list[list[int]]:
    """What the ``tokens`` signature generates."""
    answer = in_requests(model.signatures["tokens"], size, **as_inputs(rows))
    return [
        ids[:count].tolist() for ids, count in zip(answer["generated_ids"], answer["num_tokens"], strict=True)
    ]


def test_inspect_supports_it(real_model: RealModel) -> None:
    assert genserve("inspect", real_model.directory).splitlines()[-1] == "supported"


def test_the_prompts_are_the_same_tokens(real_model: RealModel, prompts: list[str]) -> None:
    answer = in_requests(real_model.signatures["encode"], len(prompts), text=prompts)
    ids = [row[:count].tolist() for row, count in zip(answer["input_ids"], answer["num_tokens"], strict=True)]
    assert ids == [real_model.reference.encode(prompt) for prompt in prompts]


@pytest.mark.parametrize("size", [1, 8], ids=["one by one", "batched"])
def test_greedy_text(real_model: RealModel, prompts: list[str], size: int) -> None:
    """Text in, text out; where it differs, the ids must do so at a decision within the margin."""
    answer = in_requests(real_model.signatures["serving_default"], size, text=prompts)
    wanted = [real_model.greedy(prompt) for prompt in prompts]
    tokenizer = real_model.reference.tokenizer
    differing = []
    for row, reference in enumerate(wanted):
        text = tokenizer.decode(reference.ids, skip_special_tokens=True)
        if answer["generated_text"][row].decode() != text:
            differing.append(row)
            continue
        assert answer["num_tokens"][row] == len(reference.ids)
        length = len(reference.ids) == MAX_NEW_TOKENS and reference.ids[-1] != tokenizer.eos_token_id
        assert answer["finish_reason"][row] == (b"length" if length else b"stop")
    rows = [real_model.reference.encode(prompts[row]) for row in differing]
    ids = greedy_ids(real_model, rows, size) if differing else []
    excused = assert_same_greedy(ids, [wanted[row] for row in differing])
    assert excused == len(differing)  # the same ids are the same text
    print(f"{len(prompts) - excused} of {len(prompts)} texts equal, {excused} decided within the margin")
    assert excused <= 1


def test_next_token_probabilities(real_model: RealModel, prompts: list[str]) -> None:
    answer = in_requests(real_model.signatures["next_token"], 8, text=prompts)
    worst = 0.0
    for row, prompt in enumerate(prompts):
        wanted = real_model.log_probabilities(real_model.reference.encode(prompt))[-1]
        tokens, ours = answer["tokens"][row], tf.math.log(tf.constant(answer["probabilities"][row])).numpy()
        theirs = wanted[tokens].numpy()
        worst = max(worst, abs(ours - theirs).max())
        # The best of the vocabulary, up to tokens as probable as the last of them.
        assert len(set(tokens.tolist())) == len(tokens)
        assert theirs.min() >= wanted.topk(len(tokens)).values[-1] - TOLERANCE, prompt
    print(f"log-probabilities of the next token: at most {worst:.2g} from the reference")
    assert worst < TOLERANCE


def test_scores(real_model: RealModel, prompts: list[str]) -> None:
    """Each prompt continued by the one after it."""
    continuations = [*prompts[1:], prompts[0]]
    answer = in_requests(real_model.signatures["score"], 8, text=prompts, continuation=continuations)
    reference, worst = real_model.reference, 0.0
    for row, (prompt, continuation) in enumerate(zip(prompts, continuations, strict=True)):
        before = reference.encode(prompt)
        after = reference.tokenizer(continuation, add_special_tokens=False)["input_ids"]
        wanted = real_model.log_probabilities(before + after)[len(before) - 1 : -1]
        score = wanted[range(len(after)), after].sum()
        assert answer["num_tokens"][row] == len(after)
        assert answer["greedy"][row] == (wanted.argmax(-1).tolist() == after)
        worst = max(worst, abs(float(answer["score"][row] - score)) / len(after))
    print(f"scores: at most {worst:.2g} a token from the reference")
    assert worst < TOLERANCE


def test_prompt_log_probabilities(real_model: RealModel, prompts: list[str]) -> None:
    rows = [real_model.reference.encode(prompt) for prompt in prompts]
    answer = in_requests(real_model.signatures["prompt_logprobs"], 8, **as_inputs(rows))
    worst = 0.0
    for row, ids in enumerate(rows):
        wanted = real_model.log_probabilities(ids)[range(len(ids) - 1), ids[1:]].numpy()
        got = answer["logprobs"][row]
        assert not got[[0, *range(len(ids), 64)]].any()
        worst = max(worst, abs(got[1 : len(ids)] - wanted).max(initial=0.0))
    print(f"log-probabilities of prompts: at most {worst:.2g} from the reference")
    assert worst < TOLERANCE


def test_chat(real_model: RealModel) -> None:
    """User and system text in, the text that the reference's pipeline answers out."""
    reference = real_model.reference
    if reference.tokenizer.chat_template is None:
        assert "chat" not in real_model.signatures
        return
    pipeline = transformers.pipeline(
        "text-generation", model=reference.model, tokenizer=reference.tokenizer, device="cpu"
    )
    users, systems = zip(*CHATS, strict=True)
    answer = in_requests(real_model.signatures["chat"], 8, user=users, system=systems)
    differing = {}
    for row, (user, system) in enumerate(CHATS):
        said = [{"role": "user", "content": user}]
        messages = [{"role": "system", "content": system}, *said] if system else said
        found = pipeline(messages, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
        if answer["generated_text"][row].decode() != found[0]["generated_text"][-1]["content"]:
            ids = reference.tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
            differing[row] = list(ids)
    wanted = [reference.greedy(ids, MAX_NEW_TOKENS) for ids in differing.values()]
    ids = greedy_ids(real_model, list(differing.values()), 8) if differing else []
    excused = assert_same_greedy(ids, wanted)
    assert excused == len(differing)  # the same ids are the same text
    print(f"{len(CHATS) - excused} of {len(CHATS)} chats equal, {excused} decided within the margin")
    assert excused <= 1


def test_tokenizer(real_model: RealModel) -> None:
    """On the corpora where the test data is there, on the prompts and generated strings anyway."""
    lines = [*PROMPTS, *(corpus_lines(TEST_DATA, False) if TEST_DATA else ())]
    report = verify_tokenizer(real_model.directory, lines, count=1000)
    print(report)
    assert report.mismatches == 0, str(report)
    assert report.refused == 0
    others = compare_origins(real_model.directory, strings=lines, count=1000)
    assert others is not None
    assert others.example is None, str(others)
