"""The ``generate`` signature: good and bad rows of one batch side by side, each with its own options."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from exporter.exporting.pipeline import ExportResult
from exporter.generation.rows import ROW_FIELDS
from tests.docs.signatures import differences

pytestmark = pytest.mark.end_to_end

TEXT = "Once upon a time"


@pytest.fixture(scope="module")
def signatures(stories: ExportResult) -> Any:
    return tf.saved_model.load(str(stories.directory)).signatures


def ask(signatures: Any, rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """One request; each row names the options that are not neutral, and ``text``."""
    columns: dict[str, Any] = {"text": tf.constant([row.get("text", TEXT) for row in rows])}
    for name, field in ROW_FIELDS.items():
        neutral = 8 if name == "max_new_tokens" else field.neutral
        columns[name] = tf.constant([row.get(name, neutral) for row in rows], field.dtype)
    answer = signatures["generate"](**columns)
    return {
        name: [item.decode() if isinstance(item, bytes) else item for item in value.numpy().tolist()]
        for name, value in answer.items()
    }


BAD: list[tuple[dict[str, Any], str]] = [
    ({"temperature": float("nan")}, "temperature=nan: allowed: 0 (greedy) to 100"),
    ({"temperature": -1.0}, "temperature=-1: allowed: 0 (greedy) to 100"),
    ({"top_p": 0.0}, "top_p=0: allowed: above 0, at most 1 (off)"),
    ({"top_p": 2.0}, "top_p=2: allowed: above 0, at most 1 (off)"),
    ({"top_k": -3}, "top_k=-3: allowed: 0 (off) or more"),
    ({"min_p": 1.5}, "min_p=1.5: allowed: 0 (off) to 1"),
    ({"max_new_tokens": 0}, "max_new_tokens=0: allowed: 1 to 16"),
    ({"max_new_tokens": 17}, "max_new_tokens=17: allowed: 1 to 16"),
    ({"repetition_penalty": 0.0}, "repetition_penalty=0: allowed: above 0, at most 100; 1 is off"),
    ({"seed": -2}, "seed=-2: allowed: 0 or more, or -1 (unpredictable)"),
    ({"text": ""}, "text: the prompt is empty; allowed: 1 to 48 tokens"),
]


def test_bad_rows_answer_with_their_own_message(signatures: Any) -> None:
    good = {"temperature": 0.8, "seed": 5}
    alone = ask(signatures, [good])
    assert alone["error"] == [""]
    mixed = ask(signatures, [row for bad, _ in BAD for row in (good, bad)])
    assert mixed["error"] == [message for _, error in BAD for message in ("", error)]
    assert mixed["finish_reason"][1::2] == ["error"] * len(BAD)
    assert mixed["num_tokens"][1::2] == [0] * len(BAD)
    assert mixed["generated_text"][1::2] == [""] * len(BAD)
    for name in ("generated_text", "num_tokens", "finish_reason"):
        assert mixed[name][::2] == alone[name] * len(BAD), "neighbours of bad rows"


def test_each_row_keeps_its_own_options(signatures: Any) -> None:
    rows = [
        {},
        {"max_new_tokens": 3},
        {"temperature": 1.2, "seed": 1},
        {"temperature": 1.2, "seed": 2, "top_p": 0.9},
        {"temperature": 0.9, "seed": 3, "top_k": 5, "min_p": 0.05},
        {"repetition_penalty": 1.5, "presence_penalty": 0.5, "frequency_penalty": 0.5},
        {"text": "The fox", "temperature": 1.2, "seed": 1},
    ]
    together = ask(signatures, rows)
    for i, row in enumerate(rows):
        alone = ask(signatures, [row])
        assert {name: values[i] for name, values in together.items()} == {
            name: values[0] for name, values in alone.items()
        }
    greedy = signatures["serving_default"](text=tf.constant([TEXT]))["generated_text"].numpy()[0].decode()
    assert greedy.startswith(together["generated_text"][0])
    assert together["num_tokens"][1] == 3
    assert len(set(together["generated_text"])) > 3


def test_signatures_are_those_documented(stories: ExportResult) -> None:
    assert not differences(stories.manifest)
