"""Options: the table covers transformers, and merging follows ``generate``'s own preparation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, BartConfig, GenerationConfig, GPT2Config

from exporter.errors import OptionError, UnsupportedError
from exporter.generation.attributes import ATTRIBUTES, EXTRAS, Fate
from exporter.generation.generation_options import GenerationOptions, resolve_options


def resolve(
    file: dict[str, Any] | None = None, overrides: dict[str, Any] | None = None, **facts: Any
) -> GenerationOptions:
    return resolve_options(file, facts.pop("config", {}), overrides or {}, **({"vocab_size": 100} | facts))


def test_every_attribute_of_transformers_is_in_the_table() -> None:
    """A new release of transformers cannot add an attribute unnoticed."""
    assert set(vars(GenerationConfig())) - set(ATTRIBUTES) == set()


def test_every_honoured_attribute_is_an_option_and_every_option_is_explained() -> None:
    honoured = {name for name, attribute in ATTRIBUTES.items() if attribute.fate is Fate.HONOURED}
    assert honoured | set(EXTRAS) == set(GenerationOptions.model_fields)


def test_defaults_are_those_of_transformers() -> None:
    ours = resolve({})
    theirs = GenerationConfig._get_default_generation_params()
    for name in set(theirs) & set(GenerationOptions.model_fields) - {"max_length"}:
        value = theirs[name]
        assert getattr(ours, name) == (
            () if value is None and name.endswith(("ids", "tokens")) else value
        ) or (value is None and not getattr(ours, name)), name
    assert ours.max_new_tokens == theirs["max_length"]


def test_options_load_without_tensorflow() -> None:
    heavy = "{'tensorflow', 'transformers'}"
    code = f"import sys, exporter.generation.generation_options; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_options_are_hashable_and_frozen() -> None:
    options = resolve({"bad_words_ids": [[1, 2], [3]], "eos_token_id": [4, 5]})
    assert hash(options) == hash(GenerationOptions(**options.model_dump()))
    assert options.bad_words_ids == ((1, 2), (3,))


@pytest.mark.parametrize(
    ("file", "overrides", "want"),
    [
        ({"temperature": 0.5}, {"temperature": 0.7}, {"temperature": 0.7}),
        ({"top_k": None}, {}, {"top_k": 50}),
        ({"top_k": 10}, {"top_k": None}, {"top_k": 0}),
        ({"suppress_tokens": [1]}, {"suppress_tokens": None}, {"suppress_tokens": ()}),
        ({"eos_token_id": [7, 9]}, {}, {"eos_token_id": (7, 9), "pad_token_id": 7}),
        ({"eos_token_id": 7}, {}, {"eos_token_id": (7,), "pad_token_id": 7}),
        ({"eos_token_id": 7, "pad_token_id": 0}, {}, {"pad_token_id": 0}),
        ({"max_length": 30}, {}, {"max_length": 30, "max_new_tokens": 29}),
        ({"max_length": 30, "max_new_tokens": 5}, {}, {"max_length": None, "max_new_tokens": 5}),
        ({"max_length": 30}, {"max_new_tokens": 5}, {"max_length": None, "max_new_tokens": 5}),
        ({"min_length": 8, "min_new_tokens": 3}, {}, {"min_length": 0, "min_new_tokens": 3}),
        ({"min_length": 8}, {}, {"min_length": 8}),
        ({"stop_strings": "END"}, {}, {"stop_strings": ("END",)}),
        ({"forced_eos_token_id": 3}, {}, {"forced_eos_token_id": (3,)}),
        ({"sequence_bias": [[[1, 2], -1.0]]}, {}, {"sequence_bias": (((1, 2), -1.0),)}),
        ({}, {"sequence_bias": {(1, 2): -1.0}}, {"sequence_bias": (((1, 2), -1.0),)}),
        ({}, {"presence_penalty": 0.5, "seed": 3}, {"presence_penalty": 0.5, "seed": 3}),
        ({"use_cache": False, "output_scores": True, "num_beam_groups": 1, "guidance_scale": 1.0}, {}, {}),
        ({"chat_format": "chatml"}, {}, {}),
    ],
)
def test_merging(file: dict[str, Any], overrides: dict[str, Any], want: dict[str, Any]) -> None:
    options = resolve(file, overrides)
    assert {name: getattr(options, name) for name in want} == want


def test_default_length_ends_with_the_models_positions() -> None:
    assert resolve({}, context_length=32).max_length == 32
    assert resolve({"max_new_tokens": 5}, context_length=32).max_length is None


def test_decoder_start_token_falls_back_to_bos() -> None:
    assert resolve({"bos_token_id": 5}, is_encoder_decoder=True).decoder_start_token_id == 5
    with pytest.raises(OptionError, match="decoder_start_token_id"):
        resolve({}, is_encoder_decoder=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1.0}, "temprature: unknown option (did you mean 'temperature'?)"),
        ({"top_p": 2.0}, "top_p=2.0 (option)"),
        ({"top_p": float("nan")}, "top_p=nan"),
        ({"num_beams": 0}, "num_beams=0"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"max_length": 1}, "max_length=1: an integer of at least 2"),
        ({"max_length": 9, "max_new_tokens": 3}, "max_length=9: max_new_tokens is set"),
        ({"early_stopping": "maybe"}, "early_stopping='maybe'"),
        ({"num_return_sequences": 2}, "num_return_sequences=2: greedy search has one answer"),
        ({"num_return_sequences": 3, "num_beams": 2}, "num_return_sequences=3: at most num_beams=2"),
        ({"do_sample": True, "temperature": 0.0}, "temperature=0.0: above 0"),
        ({"bad_words_ids": [[100]]}, "bad_words_ids: token 100 is outside the vocabulary (0 to 99)"),
        ({"bad_words_ids": [[]]}, "bad_words_ids=[[]]"),
        (
            {"forced_bos_token_id": 7, "suppress_tokens": [7]},
            "forced_bos_token_id=[7]: also in suppress_tokens",
        ),
        ({"prompt_lookup_num_tokens": 3, "num_beams": 2}, "prompt_lookup_num_tokens=3: greedy search only"),
        (
            {"exponential_decay_length_penalty": [1, 1.5]},
            "exponential_decay_length_penalty: needs an eos_token_id",
        ),
        ({"stop_strings": ["a", ""]}, "stop_strings=['a', '']"),
        ({"seed": -2}, "seed=-2"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as error:
        resolve({}, options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "name", [name for name, attribute in ATTRIBUTES.items() if attribute.fate is Fate.REFUSED]
)
def test_refused_attributes_are_named_and_their_neutral_values_pass(name: str) -> None:
    for neutral in ATTRIBUTES[name].neutral:
        resolve({name: neutral})
    with pytest.raises(UnsupportedError, match=f"{name}=7 \\(generation_config.json\\)"):
        resolve({name: 7})


def test_all_problems_come_in_one_error() -> None:
    with pytest.raises(OptionError) as error:
        resolve({"max_tim": 1, "guidance_scale": 3.0}, {"top_p": 5, "num_beams": -1, "sead": 1})
    for part in (
        "max_tim",
        "'max_time'",
        "--ignore-config-key max_tim",
        "guidance_scale",
        "top_p",
        "num_beams",
        "sead",
    ):
        assert part in str(error.value)
    resolve({"max_tim": 1}, ignore=("max_tim",))


def _effective(directory: Path, model_class: Any) -> GenerationConfig:
    """What ``generate`` works with for a saved checkpoint."""
    model = model_class.from_pretrained(directory)
    config, _ = model._prepare_generation_config(None)
    model._prepare_special_tokens(config, device="cpu")
    return config


_SHARED = ("do_sample", "num_beams", "no_repeat_ngram_size", "length_penalty", "early_stopping", "top_k")


@pytest.mark.parity
@pytest.mark.parametrize("with_file", [False, True])
def test_old_bart_config_equals_transformers(tmp_path: Path, with_file: bool) -> None:
    """Generation keys of config.json count exactly where transformers counts them."""
    small = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 1}
    config = BartConfig(
        vocab_size=60, decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8, **small
    )
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(tmp_path)
    old = json.loads((tmp_path / "config.json").read_text())
    old |= {"num_beams": 4, "no_repeat_ngram_size": 3, "length_penalty": 2.0, "early_stopping": True}
    old |= {"force_bos_token_to_be_generated": True, "min_length": 12, "max_length": 40}
    (tmp_path / "config.json").write_text(json.dumps(old))
    file = {"num_beams": 2, "eos_token_id": 2, "decoder_start_token_id": 2} if with_file else None
    (tmp_path / "generation_config.json").unlink()
    if file is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(file))
    theirs = _effective(tmp_path, AutoModelForSeq2SeqLM)
    ours = resolve_options(file, old, {}, vocab_size=60, is_encoder_decoder=True)
    for name in (*_SHARED, "min_length", "forced_bos_token_id"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.eos_token_id == tuple(theirs._eos_token_tensor.tolist())
    assert ours.pad_token_id == int(theirs._pad_token_tensor)
    assert ours.decoder_start_token_id == int(theirs._decoder_start_token_tensor)
    assert ours.max_new_tokens == (20 if with_file else 39)


@pytest.mark.parity
def test_gpt2_without_generation_config_equals_transformers(tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=40, n_embd=8, n_layer=1, n_head=1, bos_token_id=3, eos_token_id=5)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    raw = json.loads((tmp_path / "config.json").read_text())
    for dropped in ([], ["eos_token_id"]):
        raw = {key: value for key, value in raw.items() if key not in dropped}
        (tmp_path / "config.json").write_text(json.dumps(raw))
        theirs = _effective(tmp_path, AutoModelForCausalLM)
        ours = resolve_options(None, raw, {}, vocab_size=40)
        eos = theirs._eos_token_tensor
        assert ours.eos_token_id == (() if eos is None else tuple(eos.tolist()))
        for name in _SHARED:
            assert getattr(ours, name) == getattr(theirs, name), name
