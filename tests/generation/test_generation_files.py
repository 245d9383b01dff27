"""Published generation settings: what is off in the reference is off here; oddities are errors by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, GPT2Config

from exporter.errors import GenserveError, OptionError
from exporter.generation.attributes import ATTRIBUTES
from exporter.generation.generation_options import GenerationOptions, asked_length, resolve_options
from exporter.generation.off_values import OFF, SAMPLING

EOS = {"eos_token_id": 1, "pad_token_id": 0}


def resolve(file: dict[str, Any] | None, overrides: dict[str, Any] | None = None, **facts: Any) -> Any:
    return resolve_options(file, facts.pop("config", {}), overrides or {}, vocab_size=100, **facts)


@pytest.fixture(scope="module")
def model() -> Any:
    config = GPT2Config(vocab_size=20, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    return AutoModelForCausalLM.from_config(config)


def processors(model: Any, file: dict[str, Any]) -> list[str]:
    """What the reference does to the logits, by the names of its classes."""
    config = GenerationConfig(**EOS, **file)
    model._prepare_special_tokens(config, device="cpu")
    ids = torch.tensor([[2, 3]])
    found = model._get_logits_processor(config, input_ids_seq_length=2, encoder_input_ids=ids, device="cpu")
    return [type(processor).__name__ for processor in found] + [str(config.get_generation_mode())]


OFF_VALUES = [
    *[(name, value) for name in ("min_length", "min_new_tokens") for value in (-1, 0, -100)],
    *[(f"{side}no_repeat_ngram_size", value) for side in ("", "encoder_") for value in (-1, 0)],
    *[(name, value) for name in ("top_p", "typical_p") for value in (1.0, 1, 1.5, 100)],
    *[(f"{name}_cutoff", value) for name in ("epsilon", "eta") for value in (0.0, -0.5, 1.0, 2)],
    *[(name, value) for name in ("penalty_alpha", "diversity_penalty") for value in (0.0, -1.0)],
    *[("num_beam_groups", value) for value in (1, 0, -1)],
]


@pytest.mark.parametrize(("name", "value"), OFF_VALUES)
def test_off_values_are_off_in_the_reference_and_here(model: Any, name: str, value: float) -> None:
    sampled = {"do_sample": True}
    assert processors(model, {**sampled, name: value}) == processors(model, sampled)
    assert resolve({**EOS, **sampled, name: value}) == resolve({**EOS, **sampled})


def test_every_off_value_is_tried() -> None:
    assert {name for name, _ in OFF_VALUES} | {"pad_token_id"} == set(OFF)


@pytest.mark.parametrize("name", sorted(SAMPLING))
@pytest.mark.parametrize("value", [-1, -1.0, 0, 0.0, 7])
def test_greedy_search_does_not_read_sampling_options(model: Any, name: str, value: float) -> None:
    assert processors(model, {name: value}) == processors(model, {})
    options = resolve({**EOS, name: value})
    assert options.do_sample is False
    if GenerationOptions.model_fields[name].annotation is not int:
        assert resolve({**EOS, name: value, "do_sample": None}) == options


def test_what_is_out_of_range_while_it_counts_is_an_error() -> None:
    for wrong in ({"top_k": -1}, {"temperature": -1.0}, {"min_p": 2.0}, {"top_p": -0.1}, {"top_h": 0}):
        with pytest.raises(OptionError, match=rf"{next(iter(wrong))}=.* \(generation_config.json\)"):
            resolve({**EOS, "do_sample": True, **wrong})


def test_the_callers_values_are_taken_at_their_word() -> None:
    for wrong in ({"min_length": -1}, {"top_p": 2.0}, {"top_k": -1}):
        with pytest.raises(OptionError, match=r"\(option\)"):
            resolve(EOS, wrong)


def test_no_padding_token_below_zero() -> None:
    assert resolve({"eos_token_id": [-1, 7], "pad_token_id": -1}).pad_token_id == 7
    assert resolve({"eos_token_id": -1}).pad_token_id == 0


PUBLISHED: list[dict[str, Any]] = [
    {"bos_token_id": 1, "eos_token_id": 2, "min_length": -1},
    {"eos_token_id": [5, 3], "do_sample": True, "temperature": 0.1, "top_k": 30, "top_p": 0.3}
    | {"repetition_penalty": 1.05, "length_penalty": 1.2, "encoder_repetition_penalty": 0.9},
    {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "temperature": 0.0, "top_p": 1.0},
    {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "eos_token_id": 2},
    {"eos_token_id": 2, "suppress_tokens": [], "begin_suppress_tokens": [], "bad_words_ids": None},
    {"eos_token_id": 2, "num_beam_groups": 1, "diversity_penalty": 0.0, "penalty_alpha": None},
]


@pytest.mark.parametrize("file", PUBLISHED, ids=str)
def test_published_files(file: dict[str, Any]) -> None:
    assert resolve(file).eos_token_id


ODD: list[Any] = [
    *(-1, 0, 1, 10**9, 10**400, 0.5, -2.5, 1e308, math.nan, math.inf, "", "x", True, False, None),
    *([], [1], [-1], ["x"], [None], [[]], [[1], {}], [[1, 2]], [[[1], 0.5]], {}, {"a": 1}, {"1": [None]}),
]


def refusal(*arguments: Any) -> str:
    """The message of the error; "" where there is none."""
    try:
        hash(resolve(*arguments))
    except GenserveError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_odd_values_are_options_or_errors(name: str) -> None:
    for value in ODD:
        for rest in ({}, {"do_sample": True}, {"num_beams": 2, "max_length": 9}):
            for arguments in (({**EOS, **rest, name: value}, None), (EOS, {**rest, name: value})):
                message = refusal(*arguments)
                assert message == "" or name in message, value
                assert len(message) < 5000


@pytest.mark.parametrize(
    ("file", "asked", "want"),
    [
        ({"max_new_tokens": 131072}, {}, (64, None)),
        ({"max_new_tokens": 5}, {}, (5, None)),
        ({"max_length": 8192}, {}, (64, 8192)),
        ({"max_length": 20}, {}, (19, 20)),
        ({"max_new_tokens": 131072}, {"max_new_tokens": 500}, (500, None)),
        ({"max_new_tokens": 131072}, {"max_new_tokens": 131072}, (131072, None)),
        ({"max_length": 8192}, {"max_new_tokens": 100}, (100, None)),
        ({}, {"max_length": 300}, (299, 300)),
        ({"max_new_tokens": 131072}, {"max_new_tokens": None}, (20, None)),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_files_may_choose_up_to_a_bound_and_the_caller_what_he_likes(
    file: dict[str, Any], asked: dict[str, Any], want: tuple[int, int | None], old: bool
) -> None:
    """``old``: the settings are in config.json, as version 4 wrote them."""
    where = {"config": file} if old else {}
    options = resolve(None if old else file, asked, most_of_files=64, **where)
    assert (options.max_new_tokens, options.max_length) == want


def test_the_length_that_counts() -> None:
    assert asked_length({"max_length": 9, "max_new_tokens": 3}) == ("max_new_tokens", 3)
    assert asked_length({"max_length": 9, "max_new_tokens": None}) == ("max_length", 9)
    assert asked_length({}) is None
