"""What a ModelSpec says about lengths, and what of a config makes it refuse them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from exporter.errors import UnsupportedError
from exporter.families import read_spec
from exporter.families.gpt_neox import GPT_NEOX_NAMES
from exporter.families.names import Tables
from exporter.families.weights import plan
from exporter.spec import (
    Activation,
    AttentionSpec,
    BesideSpec,
    Block,
    ChannelMixSpec,
    LatentSpec,
    LayerSpec,
    MlpSpec,
    MoeSpec,
    NormKind,
    NormSpec,
    RouterSpec,
    ShortConvSpec,
    WkvSpec,
)

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
        ({"activation_function": 3}, "activation_function=3 is not supported; known are .*gelu_new"),
        ({"scale_attn_weights": "yes"}, "scale_attn_weights='yes' must be true or false"),
        ({"layer_norm_epsilon": "1e-5"}, "layer_norm_epsilon='1e-5' must be a number"),
        ({"n_layer": 10**9}, "n_layer=1000000000 must be at most 65536"),
        ({"add_cross_attention": True}, "add_cross_attention=True is not supported: cross-attention"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder=True is not supported"),
        ({"quantization_config": {"bits": 4}}, "quantization_config=.*: the weights are quantised"),
        ({"quantization": {"bits": 4}}, "quantization=.*: the weights are quantised by MLX; export the unq"),
        ({"is_causal": False}, r"is_causal=False is not supported: .* \(allowed: True\)"),
        ({"sliding_window": 8}, "sliding_window=8: the reference reads this key, and what it does"),
        ({"per_layer_config": {"0": {}}}, "per_layer_config=.*: layers that differ by override"),
    ],
)
def test_values_that_are_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read_spec({"model_type": "gpt2", **config})


@pytest.mark.parametrize(
    ("model_type", "key"), [("mixtral", "num_local_experts"), ("gemma3n_text", "altup_num_inputs")]
)
def test_more_parts_than_any_model_has_are_refused_at_once(model_type: str, key: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{key}=1000000000 must be at most 65536"):
        read_spec({"model_type": model_type, key: 10**9})


def test_all_problems_are_told_at_once() -> None:
    config = {
        "model_type": "llama",
        "hidden_act": "x",
        "rms_norm_eps": "y",
        "attention_chunk_size": 1,
        "num_key_value_heads": 5,
    }
    with pytest.raises(UnsupportedError) as caught:
        read_spec(config)
    assert [line.split("=")[0].strip(" -") for line in str(caught.value).splitlines()[1:]] == [
        "num_attention_heads",
        "rms_norm_eps",
        "hidden_act",
        "attention_chunk_size",
    ]


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        (42, r"rope_scaling=42 must be an object"),
        ("linear", r"rope_scaling='linear' must be an object"),
        (["linear", 2.0], r"rope_scaling=\['linear', 2.0\] must be an object"),
        ({"type": "su"}, "rope_scaling.type='su' is not supported; known are default, .*yarn"),
        ({"type": "linear"}, "rope_scaling.factor=None must be a number"),
        ({"type": "linear", "factor": None}, "rope_scaling.factor=None must be a number"),
        ({"type": "linear", "factor": 0}, "rope_scaling.factor=0 must be above 0"),
        ({"type": "linear", "factor": "2"}, "rope_scaling.factor='2' must be a number"),
        ({"rope_type": "llama3", "factor": 2.0}, "rope_scaling.low_freq_factor=None must be a number"),
        (
            {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]},
            r"rope_scaling.short_factor=\[1.0\] must be a list of 64 numbers",
        ),
        ({"type": "linear", "factor": 2, "partial_rotary_factor": 0.5}, "turns whole heads"),
        ({"full_attention": {"factor": 2}}, "full_attention=.* this model_type has one set of parameters"),
    ],
)
def test_rope_parameters_that_are_refused(scaling: object, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        read_spec({"model_type": "llama", "rope_scaling": scaling})


@pytest.mark.parametrize("model_type", ["gemma3_text", "olmo3"])
def test_nested_rope_parameters_that_are_refused(model_type: str) -> None:
    for value, message in [
        (42, "rope_parameters=42 must be an object"),
        ({"full_attention": [1]}, r"rope_parameters.full_attention=\[1\] must be an object"),
        (
            {"full_attention": {"type": "linear", "factor": "x"}},
            "rope_parameters.full_attention.factor='x' must be a number",
        ),
        ({"rope_type": "default"}, "rope_parameters=.* must hold an object for 'full_attention'"),
    ]:
        with pytest.raises(UnsupportedError, match=message):
            read_spec({"model_type": model_type, "rope_parameters": value})


def test_unknown_model_type() -> None:
    with pytest.raises(
        UnsupportedError, match=r"'lama' is not supported \(did you mean 'llama'\?\); supported are .*gpt2"
    ):
        read_spec({"model_type": "lama"})
    with pytest.raises(UnsupportedError, match="has no model_type"):
        read_spec({})
    for value in (42, ["llama"], {"llama": 1}, True):
        with pytest.raises(UnsupportedError, match=r"model_type=.* must be a string"):
            read_spec({"model_type": value})


NORM = NormSpec(NormKind.RMS, 1e-6)
PLAIN = AttentionSpec(heads=4, kv_heads=2, head_dim=8, scale=1.0)
LATENT = AttentionSpec(
    4, 1, 12, 1.0, latent=LatentSpec(rank=8, query_rank=None, plain=6, rotated=4, value=5, norm=NORM)
)
MLP = MlpSpec(16, Activation.SILU)
BESIDE = BesideSpec(MoeSpec(4, 2, RouterSpec(), MLP), NORM)


@pytest.mark.parametrize(
    ("spec", "more", "message"),
    [
        (LATENT, {"clip": 8.0}, r"latent attention with clip=8\.0 is not supported; allowed: None"),
        (LATENT, {"qk_norm": NORM}, "latent attention with qk_norm="),
        (LATENT, {"value_scale": 2.0}, r"latent attention with value_scale=2\.0 .* allowed: 1\.0"),
        (LATENT, {"borrowed": 0}, "latent attention with borrowed=0"),
        (LayerSpec(PLAIN, MLP, Block.POST_NORM), {"beside": BESIDE}, "block post_norm with beside="),
        (
            LayerSpec(PLAIN, MLP, Block.POST_NORM),
            {"wide_residual": True},
            "post_norm with wide_residual=True",
        ),
        (
            LayerSpec(PLAIN, MLP, Block.POST_NORM),
            {"residual_scale": 0.5},
            "post_norm with residual_scale=0.5",
        ),
        (LayerSpec(PLAIN, MLP, Block.PARALLEL), {"beside": BESIDE}, "block parallel with beside="),
        (LayerSpec(PLAIN), {"beside": BESIDE}, "without a feed-forward block with beside="),
        (
            LayerSpec(replace(PLAIN, borrowed=0), MLP),
            {"state": ShortConvSpec(16, 3)},
            "a layer with borrowed keys with state=",
        ),
        (
            LayerSpec(PLAIN, MLP),
            {"cross_attention": replace(PLAIN, window=3)},
            "cross-attention with window=3",
        ),
        (LayerSpec(PLAIN), {"mlp": ChannelMixSpec(16)}, "time mix and channel mix a layer must have both"),
        (LayerSpec(mlp=MLP), {"state": WkvSpec(16, 16)}, "time mix and channel mix a layer must have both"),
        (LayerSpec(PLAIN, MLP), {"halved": True}, "without a time mix with halved=True"),
    ],
)
def test_what_the_graph_would_leave_out_is_refused(spec: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        replace(spec, **more)


def test_values_of_another_width_are_not_cut_out_of_a_fused_projection() -> None:
    spec = read_spec({"model_type": "gpt_neox", "num_hidden_layers": 1})
    (layer,) = spec.decoder.layers
    assert layer.attention is not None
    wide = replace(layer, attention=replace(layer.attention, value_dim=7))
    spec = replace(spec, decoder=replace(spec.decoder, layers=(wide,)))
    with pytest.raises(UnsupportedError, match="a fused projection with value_dim=7"):
        list(plan(spec, GPT_NEOX_NAMES, Tables("t", None, "h", ())))


def test_dynamic_rope_is_bounded_by_the_shortest_of_its_lengths() -> None:
    config = {"model_type": "llama", "max_position_embeddings": 100}
    assert read_spec(config).rescaled_beyond is None
    scaling = {"rope_type": "dynamic", "factor": 2.0}
    assert read_spec({**config, "rope_scaling": scaling}).rescaled_beyond == 100
    assert read_spec({**config, "rope_scaling": {**scaling, "rope_type": "linear"}}).rescaled_beyond is None
