"""gpt-oss (OpenAI 2025), as published with experts in MXFP4, or unquantised."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_TRAINING, read_mixture
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.names import Experts
from exporter.families.reader import ConfigReader
from exporter.families.rope import flat_parameters, rotary
from exporter.families.shape import Shape, read_shape, read_windows, rms_norm, tied
from exporter.spec import (
    Activation,
    AttentionSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    MoeSpec,
    RouterSpec,
)

DEFAULT_ROPE = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}


def read(config: ConfigReader) -> ModelSpec:
    """A mixture of experts with attention sinks; every other layer is windowed."""
    shape = read_shape(
        config,
        vocab=201088,
        hidden=2880,
        width=2880,
        layers=36,
        heads=64,
        kv_heads=8,
        head_dim=64,
        max_length=131072,
    )
    if config.has("quantization_config"):
        stored = config.section("quantization_config")
        stored.expect("quant_method", "mxfp4", why="the experts of gpt-oss are read from MXFP4 alone")
        stored.harmless("modules_to_not_convert", "dequantize")
    norm, mixture = replace(rms_norm(config, 1e-5), round_first=False, wide=True), _mixture(config, shape)
    window = config.nullable_integer("sliding_window", 128)
    windows = read_windows(config, shape.layers, window, lambda layer: layer % 2 == 0)
    attention = _attention(config, shape)
    layers = [
        LayerSpec(replace(attention, window=size), mixture, attention_norm=norm, mlp_norm=norm)
        for size in windows
    ]
    return shape.model("gpt_oss", layers, norm, HeadSpec(tied(config)))


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    theta = config.number("rope_theta", 150_000.0, positive=True)
    parameters = flat_parameters(config, DEFAULT_ROPE)
    turning = rotary(config, parameters, shape.head_dim, shape.max_length, theta=theta)
    bias = config.flag("attention_bias", True)
    return shape.attention(rotary=turning, qkv_bias=bias, out_bias=bias, sinks=True)


def _mixture(config: ConfigReader, shape: Shape) -> MoeSpec:
    config.expect("swiglu_alpha", 1.702, why="only gpt-oss's own activation is built")
    config.expect("swiglu_limit", 7.0, why="only gpt-oss's own activation is built")
    expert = MlpSpec(shape.width, Activation.GPT_OSS, gated=True, up_bias=True, down_bias=True)
    experts, router = config.integer("num_local_experts", 128), RouterSpec(bias=True, normalise=True)
    return read_mixture(config, expert, experts=experts, top_k=4, router=router)


GPT_OSS = Family(
    read,
    replace(
        LLAMA_NAMES,
        sinks="self_attn.sinks",
        router="mlp.router",
        experts=("", "mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
        expert_layout=Experts.ALTERNATING,
    ),
    harmless=ROUTER_TRAINING,
    aliases={"num_experts": "num_local_experts"},
)
