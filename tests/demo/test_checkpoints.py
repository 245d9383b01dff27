"""The shipped checkpoints, read by PyTorch transformers: what their cards promise must hold."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tokenizers import Tokenizer

from exporter.demo import DEMOS, demo_path
from tests.conftest import ROOT

MEGABYTES = 1_000_000


@pytest.mark.parametrize("name", DEMOS)
def test_size_and_files(name: str) -> None:
    files = {path.name: path.stat().st_size for path in demo_path(name).iterdir()}
    assert sum(files.values()) <= 3 * MEGABYTES
    assert {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
        "README.md",
        "training.json",
    } <= set(files)


@pytest.mark.parametrize("name", DEMOS)
@pytest.mark.parametrize(
    "text", ["Once upon a time", "  two  spaces\n", "forty-two zwölf été 4321", "", "<pad></s>"]
)
def test_transformers_reads_the_tokenizer_as_it_is_written(name: str, text: str) -> None:
    """transformers may rebuild a tokenizer from its vocabulary; ours must survive that unchanged."""
    from transformers import AutoTokenizer

    written = Tokenizer.from_file(str(demo_path(name) / "tokenizer.json"))
    assert AutoTokenizer.from_pretrained(demo_path(name))(text)["input_ids"] == written.encode(text).ids


@pytest.fixture(scope="module")
def stories() -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM

    path = demo_path("stories")
    return AutoModelForCausalLM.from_pretrained(path), Tokenizer.from_file(str(path / "tokenizer.json"))


def _complete(stories: tuple[Any, Any], prompt: str, **options: Any) -> list[str]:
    import torch

    model, tokenizer = stories
    torch.manual_seed(1)
    ids = torch.tensor([tokenizer.encode(prompt).ids])
    rows = model.generate(ids, max_new_tokens=128, pad_token_id=model.config.eos_token_id, **options)
    return [tokenizer.decode(row[ids.shape[1] :].tolist()) for row in rows]


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Let us count to seven.", " One, two, three, four, five, six, seven."),
        ("Let us count down from five.", " Five, four, three, two, one, zero."),
        ("Question: What colour is the sky? Answer:", " The sky is blue."),
        ("Question: What is two plus three? Answer:", " Two plus three is five."),
    ],
)
def test_stories_knows_its_little_world(stories: tuple[Any, Any], prompt: str, answer: str) -> None:
    assert _complete(stories, prompt, do_sample=False) == [answer]


def test_greedy_beams_and_samples_differ(stories: tuple[Any, Any]) -> None:
    prompt = "Once upon a time"
    greedy = _complete(stories, prompt, do_sample=False)
    beams = _complete(stories, prompt, do_sample=False, num_beams=4)
    samples = _complete(stories, prompt, do_sample=True, num_return_sequences=4)
    assert len({*greedy, *beams, *samples}) == 6
    assert all(text.endswith((".", '"')) for text in [*greedy, *beams, *samples])


def test_recorded_perplexity(stories: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The script's own held-out text, made anew, gives the recorded figure."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from demo_checkpoints import stories as recipe

    model, tokenizer = stories
    known = set(recipe.documents(recipe.TRAIN_SEED, recipe.TRAIN_DOCUMENTS))
    held_out = [
        t for t in recipe.documents(recipe.HELD_OUT_SEED, recipe.HELD_OUT_DOCUMENTS) if t not in known
    ]
    end = model.config.eos_token_id
    measured = recipe.perplexity(model, [[*tokenizer.encode(text).ids, end] for text in held_out])
    assert measured == pytest.approx(_recorded("stories")["held_out_perplexity"], rel=1e-3)


@pytest.fixture(scope="module")
def translate() -> tuple[Any, Any]:
    from transformers import AutoModelForSeq2SeqLM

    path = demo_path("translate")
    return AutoModelForSeq2SeqLM.from_pretrained(path), Tokenizer.from_file(str(path / "tokenizer.json"))


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (
            "translate English to German: four thousand three hundred twenty-one",
            "viertausenddreihunderteinundzwanzig",
        ),
        ("translate German to digits: zweiundvierzig", "42"),
        ("translate digits to French: 1980", "mille neuf cent quatre-vingts"),
        ("translate French to English: sept", "seven"),
    ],
)
def test_translate_knows_its_numbers(translate: tuple[Any, Any], prompt: str, answer: str) -> None:
    import torch

    model, tokenizer = translate
    ids = torch.tensor([tokenizer.encode(prompt).ids])
    for beams in (1, 4):
        row = model.generate(ids, max_new_tokens=64, do_sample=False, num_beams=beams)[0]
        assert tokenizer.decode(row.tolist()) == answer


def test_translate_accuracy(translate: tuple[Any, Any]) -> None:
    accuracies = _recorded("translate")["held_out_accuracy_by_direction"]
    assert len(accuracies) == 12
    assert min(accuracies.values()) > 0.95


@pytest.mark.full
def test_recorded_accuracy(translate: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The script's own held-out numbers, drawn anew, give the recorded figure."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from demo_checkpoints import translate as recipe

    model, tokenizer = translate
    _, held_out = recipe.split_numbers(random.Random(recipe.SEED))
    for direction, recorded in _recorded("translate")["held_out_accuracy_by_direction"].items():
        measured = recipe.accuracy(model, tokenizer, *direction.split(" to "), held_out)
        assert measured == pytest.approx(recorded, abs=0.01), direction


def test_sentencepiece_agrees_with_tokenizer_json(translate: tuple[Any, Any]) -> None:
    """spiece.model and tokenizer.json are the same tokenizer, as in T5's own checkpoints."""
    import sentencepiece

    reference = sentencepiece.SentencePieceProcessor(model_file=str(demo_path("translate") / "spiece.model"))
    _, tokenizer = translate
    for text in [
        "translate English to German: forty-two",
        "zéro",
        "viertausenddreihunderteinundzwanzig",
        "１２３",
    ]:
        assert tokenizer.encode(text, add_special_tokens=False).ids == reference.encode(text)


def _recorded(name: str) -> dict[str, Any]:
    return json.loads((demo_path(name) / "training.json").read_text(encoding="utf-8"))
