"""Qwen2-MoE and Qwen3-MoE (Qwen Team 2024 and 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_TRAINING, gated_experts, read_mixture, softmax_router, some_mixed
from exporter.families.family import Family
from exporter.families.llama import NORMED_NAMES
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import AttentionSpec, HeadSpec, ModelSpec, MoeSpec


def read_qwen2_moe(config: ConfigReader) -> ModelSpec:
    """Qwen2 with some dense layers, and an expert beside the chosen ones that all tokens share."""
    shape = read_shape(
        config, vocab=151936, hidden=2048, width=5632, layers=24, heads=16, kv_heads=16, max_length=32768
    )
    sliding, last = config.flag("use_sliding_window", False), config.integer("max_window_layers", 28, 0)
    config.harmless("sliding_window")  # the reference writes 0 where it is not used
    windows = read_windows(
        config,
        shape.layers,
        config.integer("sliding_window", 4096) if sliding else None,
        lambda layer: sliding and layer % 2 == 0 and layer < last,
    )
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        qkv_bias=config.flag("qkv_bias", True),
    )
    shared = gated_mlp(config, config.integer("shared_expert_intermediate_size", 5632))
    mixture = replace(qwen_mixture(config, width=1408, experts=60, top_k=4), shared=shared, shared_gate=True)
    attentions = [replace(attention, window=size) for size in windows]
    return sparse_layers(config, "qwen2_moe", shape, attentions, mixture)


def read_qwen3_moe(config: ConfigReader) -> ModelSpec:
    """Qwen3 with some dense layers."""
    shape = read_shape(
        config, vocab=151936, hidden=2048, width=6144, layers=24, heads=32, kv_heads=4, max_length=32768
    )
    window = config.nullable_integer("sliding_window", 4096)
    bias = config.flag("attention_bias", False)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        qkv_bias=bias,
        out_bias=bias,
        qk_norm=rms_norm(config),
        window=window if config.flag("use_sliding_window", False) else None,
    )
    mixture = qwen_mixture(config, width=768, experts=128, top_k=8)
    return sparse_layers(config, "qwen3_moe", shape, [attention] * shape.layers, mixture)


def qwen_mixture(
    config: ConfigReader, *, width: int, experts: int, top_k: int, normed: bool = False
) -> MoeSpec:
    """``width``, ``experts``, ``top_k`` and ``normed`` are defaults of the config's keys."""
    return read_mixture(
        config,
        gated_mlp(config, config.integer("moe_intermediate_size", width)),
        experts=config.integer("num_experts", experts),
        top_k=top_k,
        router=softmax_router(config, normalise=normed),
    )


def sparse_layers(
    config: ConfigReader, model_type: str, shape: Shape, attentions: list[AttentionSpec], mixture: MoeSpec
) -> ModelSpec:
    """Some layers mix, the others have plain blocks."""
    norm, plain = rms_norm(config), gated_mlp(config, shape.width)
    layers = some_mixed(attentions, sparse_places(config, shape.layers), mixture, plain, norm)
    return shape.model(model_type, layers, norm, HeadSpec(tied(config)))


def sparse_places(config: ConfigReader, layers: int, dense: tuple[int, ...] = ()) -> list[bool]:
    """Which layers mix: every ``decoder_sparse_step``-th but ``mlp_only_layers`` (default ``dense``)."""
    step = config.integer("decoder_sparse_step", 1)
    named = config.choices("mlp_only_layers", range(layers), 0, more=True)
    plain = dense if named is None else named
    return [index not in plain and (index + 1) % step == 0 for index in range(layers)]


def qwen_experts(base: Names) -> Names:
    """``base`` with the names of experts and of the one that all tokens share."""
    shared = "mlp.shared_expert."
    return gated_experts(
        base,
        shared=(f"{shared}gate_proj", f"{shared}up_proj", f"{shared}down_proj"),
        shared_gate="mlp.shared_expert_gate",
    )


NAMES = qwen_experts(NORMED_NAMES)

QWEN2_MOE = Family(read_qwen2_moe, NAMES, harmless=ROUTER_TRAINING)
QWEN3_MOE = Family(
    read_qwen3_moe,
    NAMES,
    harmless=ROUTER_TRAINING,
    aliases={"num_local_experts": "num_experts"},
)
