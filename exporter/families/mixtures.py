"""Mixtures of experts on Llama's plan: Mixtral (Jiang et al. 2024), Qwen2-MoE and Qwen3-MoE (Qwen Team)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, read_windows, rms_norm, tied
from exporter.spec import AttentionSpec, HeadSpec, LayerSpec, MlpSpec, ModelSpec, MoeSpec, NormSpec, Routing


def read_mixtral(config: ConfigReader) -> ModelSpec:
    """Every layer mixes; the weights of the chosen experts add up to one."""
    shape = read_shape(
        config, vocab=32000, hidden=4096, width=14336, layers=32, heads=32, kv_heads=8, max_length=131072
    )
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, theta=1_000_000.0),
        window=config.optional_integer("sliding_window"),
    )
    experts = config.integer("num_local_experts", 8)
    mixture = _mixture(config, gated_mlp(config, shape.width), experts, 2, Routing.SOFTMAX_TOP_K)
    return _model(config, "mixtral", shape, [(attention, mixture)] * shape.layers, rms_norm(config, 1e-5))


def read_qwen2_moe(config: ConfigReader) -> ModelSpec:
    """Qwen2 with some dense layers, and an expert beside the chosen ones that all tokens share."""
    shape = read_shape(
        config, vocab=151936, hidden=2048, width=5632, layers=24, heads=16, kv_heads=16, max_length=32768
    )
    sliding, last = (
        config.flag("use_sliding_window", False),
        config.integer("max_window_layers", 28, minimum=0),
    )
    window = config.integer("sliding_window", 4096, minimum=0) if sliding else config.raw("sliding_window")
    windows = read_windows(
        config,
        shape.layers,
        window if sliding else None,
        lambda layer: sliding and layer % 2 == 0 and layer < last,
    )
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        qkv_bias=config.flag("qkv_bias", True),
    )
    shared = gated_mlp(config, config.integer("shared_expert_intermediate_size", 5632))
    mixture = replace(_qwen_mixture(config, width=1408, experts=60, top_k=4), shared=shared)
    attentions = [replace(attention, window=size) for size in windows]
    return _qwen_model(config, "qwen2_moe", shape, attentions, mixture)


def read_qwen3_moe(config: ConfigReader) -> ModelSpec:
    """Qwen3 with some dense layers."""
    shape = read_shape(
        config, vocab=151936, hidden=2048, width=6144, layers=24, heads=32, kv_heads=4, max_length=32768
    )
    window = config.optional_integer("sliding_window", None if "sliding_window" in config else 4096)
    bias = config.flag("attention_bias", False)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        qkv_bias=bias,
        out_bias=bias,
        qk_norm=rms_norm(config),
        window=window if config.flag("use_sliding_window", False) else None,
    )
    mixture = _qwen_mixture(config, width=768, experts=128, top_k=8)
    return _qwen_model(config, "qwen3_moe", shape, [attention] * shape.layers, mixture)


def _mixture(config: ConfigReader, expert: MlpSpec, experts: int, top_k: int, routing: Routing) -> MoeSpec:
    chosen = config.integer("num_experts_per_tok", top_k)
    if chosen > experts:
        config.problem(f"num_experts_per_tok={chosen} is more than the {experts} experts there are")
    return MoeSpec(experts, min(chosen, experts), routing, expert)


def _qwen_mixture(config: ConfigReader, *, width: int, experts: int, top_k: int) -> MoeSpec:
    normalised = config.flag("norm_topk_prob", False)
    return _mixture(
        config,
        gated_mlp(config, config.integer("moe_intermediate_size", width)),
        config.integer("num_experts", experts),
        top_k,
        Routing.SOFTMAX_TOP_K if normalised else Routing.SOFTMAX,
    )


def _qwen_model(
    config: ConfigReader, model_type: str, shape: Shape, attentions: list[AttentionSpec], mixture: MoeSpec
) -> ModelSpec:
    """Every ``decoder_sparse_step``-th layer mixes, unless ``mlp_only_layers`` names it."""
    step, dense = config.integer("decoder_sparse_step", 1), config.raw("mlp_only_layers") or []
    plain = gated_mlp(config, shape.width)
    layers: list[tuple[AttentionSpec, Any]] = [
        (attention, mixture if index not in dense and (index + 1) % step == 0 else plain)
        for index, attention in enumerate(attentions)
    ]
    return _model(config, model_type, shape, layers, rms_norm(config))


def _model(
    config: ConfigReader,
    model_type: str,
    shape: Shape,
    layers: list[tuple[AttentionSpec, Any]],
    norm: NormSpec,
) -> ModelSpec:
    specs = [LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm) for attention, mlp in layers]
    return shape.model(model_type, specs, norm, HeadSpec(tied(config)))


ROUTER_TRAINING = ("output_router_logits", "router_aux_loss_coef", "router_jitter_noise")
MIXTRAL_EXPERT = "block_sparse_moe.experts.{e}."
MIXTRAL_NAMES = replace(
    LLAMA_NAMES,
    router="block_sparse_moe.gate",
    experts=(f"{MIXTRAL_EXPERT}w1", f"{MIXTRAL_EXPERT}w3", f"{MIXTRAL_EXPERT}w2"),
)
QWEN_EXPERT, SHARED_EXPERT = "mlp.experts.{e}.", "mlp.shared_expert."
QWEN_NAMES = replace(
    LLAMA_NAMES,
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
    router="mlp.gate",
    experts=(f"{QWEN_EXPERT}gate_proj", f"{QWEN_EXPERT}up_proj", f"{QWEN_EXPERT}down_proj"),
    shared=(f"{SHARED_EXPERT}gate_proj", f"{SHARED_EXPERT}up_proj", f"{SHARED_EXPERT}down_proj"),
    shared_gate="mlp.shared_expert_gate",
)

MIXTRAL = Family(read_mixtral, MIXTRAL_NAMES, ROUTER_TRAINING, {"num_experts": "num_local_experts"})
QWEN2_MOE = Family(read_qwen2_moe, QWEN_NAMES, ROUTER_TRAINING)
QWEN3_MOE = Family(
    read_qwen3_moe, QWEN_NAMES, (*ROUTER_TRAINING, "max_window_layers"), {"num_local_experts": "num_experts"}
)
