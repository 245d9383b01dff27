"""What a ModelSpec says about lengths, and what of a config makes it refuse them."""

from __future__ import annotations

import pytest

from exporter.errors import UnsupportedError
from exporter.families import read_spec

LONGROPE = {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48}


def test_learned_positions_are_a_bound() -> None:
    spec = read_spec({"model_type": "gpt2", "n_positions": 100})
    spec.check_lengths(60, 40)
    with pytest.raises(UnsupportedError, match=r"60 \+ max_new_tokens 41 = 101 exceeds the 100 positions"):
        spec.check_lengths(60, 41)


def test_rotary_positions_are_not() -> None:
    read_spec({"model_type": "llama", "max_position_embeddings": 100}).check_lengths(100, 100)


def test_longrope_may_not_cross_its_boundary() -> None:
    spec = read_spec({"model_type": "phi3", "max_position_embeddings": 131072, "rope_scaling": LONGROPE})
    spec.check_lengths(4000, 96)
    with pytest.raises(UnsupportedError, match="crosses original_max_position_embeddings=4096"):
        spec.check_lengths(4000, 97)


def test_specs_are_hashable_and_equal_by_value() -> None:
    one, other = (read_spec({"model_type": "gpt2"}) for _ in range(2))
    assert one is not other
    assert hash(one) == hash(other)
    assert one == other
    assert len(set(one.decoder.layers)) == 1, "like layers are equal, and share one function of the graph"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"n_embd": 10, "n_head": 3}, r"n_embd=10 is not divisible by n_head=3"),
        ({"n_layer": "12"}, "n_layer='12' must be an integer of at least 1"),
        ({"n_layer": 0}, "n_layer=0 must be an integer of at least 1"),
        ({"n_head": True}, "n_head=True must be an integer"),
        ({"activation_function": "gelu_nw"}, r"'gelu_nw' is not supported \(did you mean 'gelu_new'"),
        ({"activation_function": None}, "activation_function=None is not supported"),
        ({"scale_attn_weights": "yes"}, "scale_attn_weights='yes' must be true or false"),
        ({"layer_norm_epsilon": None}, "layer_norm_epsilon=None must be a number"),
        ({"add_cross_attention": True}, "add_cross_attention=True is not supported: cross-attention"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder=True is not supported"),
        ({"pruned_heads": {"1": [0]}}, "pruned_heads=.* is not supported: heads were cut out"),
        ({"quantization_config": {"bits": 4}}, "quantization_config=.*: the weights are quantised"),
        ({"n_embed": 5}, r"n_embed=5: this key is not known \(did you mean 'n_embd'\?\)"),
    ],
)
def test_values_that_are_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read_spec({"model_type": "gpt2", **config})


def test_all_problems_are_told_at_once() -> None:
    config = {
        "model_type": "llama",
        "hidden_act": "x",
        "rms_norm_eps": "y",
        "novel": 1,
        "num_key_value_heads": 5,
    }
    with pytest.raises(UnsupportedError) as caught:
        read_spec(config)
    assert [line.split("=")[0].strip(" -") for line in str(caught.value).splitlines()[1:]] == [
        "num_attention_heads",
        "rms_norm_eps",
        "hidden_act",
        "novel",
    ]


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"type": "su"}, "rope_type='su' is not supported"),
        ({"type": "linear"}, "of type 'linear' lack or spoil 'factor'"),
        ({"type": "linear", "factor": None}, "of type 'linear' lack or spoil"),
        ({"rope_type": "llama3", "factor": 2.0}, "lack or spoil 'low_freq_factor'"),
        ({"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}, "must have 64 numbers"),
        ({"rope_type": "default", "mrope_section": [1, 2]}, r"rope_parameters\.mrope_section"),
        ({"rope_type": "default", "partial_rotary_factor": 0.5}, "turns whole heads"),
    ],
)
def test_rope_parameters_that_are_refused(scaling: dict[str, object], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read_spec({"model_type": "llama", "rope_scaling": scaling})


def test_unknown_model_type() -> None:
    with pytest.raises(
        UnsupportedError, match=r"'lama' is not supported \(did you mean 'llama'\?\); supported are .*gpt2"
    ):
        read_spec({"model_type": "lama"})
    with pytest.raises(UnsupportedError, match="has no model_type"):
        read_spec({})
