"""Named presets of a job file, asked through the reloaded SavedModel: each equals ``generate`` in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import torch
import yaml

from exporter.errors import OptionError
from exporter.exporting.pipeline import export
from exporter.generation.rows import ROW_FIELDS
from exporter.options import read_job
from tests.reference import Reference, random_gpt2

pytestmark = [pytest.mark.end_to_end, pytest.mark.parity]

NEW = 12
TEXTS = ["the quick", "one, two", "naïve: 1"]
DRAWN: dict[str, Any] = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "seed": 5}
PRESETS: dict[str, dict[str, Any]] = {
    "creative": {"do_sample": True, **DRAWN},
    "beam4": {"num_beams": 4, "num_return_sequences": 2},
    "careful": {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "bad_words_ids": [[40], [66, 70]]},
    "listed": {"logprobs": 2, "min_new_tokens": 4, "suppress_tokens": [65, 66, 67]},
}


class Exported(NamedTuple):
    signatures: Any
    reference: Reference
    stopping: dict[str, Any]


def job(path: Path, model: Path, presets: dict[str, Any]) -> Any:
    """The options of a job file with one model."""
    entry = {
        "model": str(model),
        "name": "tiny",
        "max_new_tokens": NEW,
        "prompt_lengths": [24],
        "batch_sizes": [4],
        "outputs": ["score"],
        "warmup": "none",
        "verify": "none",
        "signatures": presets,
    }
    path.write_text(yaml.safe_dump({"models": [entry]}))
    return read_job(path, path.parent / "out", {}).exports[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("presets")
    model = random_gpt2(path / "checkpoint", seed=4)
    reference = Reference(model)
    # Begins with the end of the first prompt, and ends with what greedy search writes after it.
    tokenizer = reference.tokenizer
    ids, size = range(reference.model.config.vocab_size), len(tokenizer)
    # The end, parts of characters, and ids without a token.
    odd = [token for token in ids if not token or token >= size or not tokenizer.decode([token]).isascii()]
    plain = {"suppress_tokens": odd}
    written = expect(reference, TEXTS[0], **plain).sequences[0]
    stop = TEXTS[0][-3:] + tokenizer.decode(written[len(reference.encode(TEXTS[0])) :][:2])
    presets = {**PRESETS, "stopping": {"stop_strings": [stop, "\n\n"], **plain}}
    version = export(job(path / "job.yaml", model, presets), path / "out").directory
    return Exported(tf.saved_model.load(str(version)).signatures, reference, presets["stopping"])


def ask(exported: Exported, name: str, **inputs: Any) -> dict[str, Any]:
    answer = exported.signatures[name](text=tf.constant(TEXTS), **inputs)
    assert not np.any(answer["error"].numpy() != b"")
    return {key: value.numpy() for key, value in answer.items()}


def expect(reference: Reference, text: str, **options: Any) -> Any:
    prompt = torch.tensor([reference.encode(text)])
    with torch.no_grad():
        return reference.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=NEW,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_scores=True,
            output_logits=True,
            **options,
        )


def new_text(exported: Exported, text: str, ids: torch.Tensor) -> str:
    prompt = len(exported.reference.encode(text))
    return exported.reference.tokenizer.decode(ids[prompt:], skip_special_tokens=True)


@pytest.mark.parametrize("name", ["careful", "listed"])
def test_processors_of_a_preset(exported: Exported, name: str) -> None:
    answer = ask(exported, name)
    options = {key: value for key, value in PRESETS[name].items() if key != "logprobs"}
    for row, text in enumerate(TEXTS):
        wanted = expect(exported.reference, text, **options)
        assert answer["generated_text"][row].decode() == new_text(exported, text, wanted.sequences[0])
        if name == "listed":
            steps = torch.stack(wanted.logits)[:, 0].log_softmax(-1)
            count = len(steps)
            top = steps.topk(2)
            np.testing.assert_allclose(answer["top_logprobs"][row, :count], top.values, atol=2e-3)
            assert answer["top_tokens"][row, :count].tolist() == top.indices.tolist()
            new = wanted.sequences[0, -count:]
            chosen = steps[torch.arange(count), new]
            np.testing.assert_allclose(answer["logprobs"][row, :count], chosen, atol=2e-3)
            np.testing.assert_allclose(answer["score"][row], chosen.sum(), atol=1e-2)


def test_beams_of_a_preset(exported: Exported) -> None:
    answer = ask(exported, "beam4")
    assert answer["generated_text"].shape == (len(TEXTS), 2)
    for row, text in enumerate(TEXTS):
        wanted = expect(exported.reference, text, **PRESETS["beam4"])
        texts = [new_text(exported, text, ids) for ids in wanted.sequences]
        assert [item.decode() for item in answer["generated_text"][row]] == texts
        np.testing.assert_allclose(answer["score"][row], wanted.sequences_scores, atol=2e-3)


def test_a_baked_seed_draws_what_the_same_options_per_row_draw(exported: Exported) -> None:
    baked = ask(exported, "creative")
    values = {name: field.neutral for name, field in ROW_FIELDS.items()} | DRAWN | {"max_new_tokens": NEW}
    columns = {
        name: tf.fill([len(TEXTS)], tf.constant(values[name], field.dtype))
        for name, field in ROW_FIELDS.items()
    }
    assert ask(exported, "generate", **columns)["generated_text"].tolist() == baked["generated_text"].tolist()
    assert baked["generated_text"].tolist() != ask(exported, "serving_default")["generated_text"].tolist()


def test_stop_strings_end_where_the_reference_ends_and_are_cut_off(exported: Exported) -> None:
    answer = ask(exported, "stopping")
    stops = exported.stopping["stop_strings"]
    for row, text in enumerate(TEXTS):
        wanted = expect(exported.reference, text, tokenizer=exported.reference.tokenizer, **exported.stopping)
        assert answer["num_tokens"][row] == len(wanted.scores)
        whole = text + new_text(exported, text, wanted.sequences[0])
        found = [whole.find(stop) for stop in stops if stop in whole]
        assert answer["finish_reason"][row] == (b"stop" if found else b"length")
        kept = whole[len(text) : max(min(found), len(text))] if found else whole[len(text) :]
        assert answer["generated_text"][row].decode() == kept
    assert answer["finish_reason"][0] == b"stop"
    assert answer["generated_text"][0] == b""


def test_presets_are_checked_as_exports_are(tmp_path: Path) -> None:
    model = random_gpt2(tmp_path / "checkpoint")
    for presets, message in (
        ({"odd": {"num_beam": 4}}, "did you mean 'num_beams'"),
        ({"score": {"num_beams": 2}}, "genserve's own names"),
        ({"hot": {"do_sample": True, "top_p": 2.0}}, "top_p=2.0"),
    ):
        options = job(tmp_path / "job.yaml", model, presets)
        with pytest.raises(OptionError, match=message):
            export(options, tmp_path / "out")
