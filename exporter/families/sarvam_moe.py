"""Sarvam 30B (Sarvam AI 2026): GLM-4.5's plan, whose heads turn whole, with names of its own."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.deepseek_router import read_deepseek_mixture
from exporter.families.experts import ROUTER_OUTPUT
from exporter.families.family import Family
from exporter.families.glm4_moe import ALIASES, NAMES, first_dense
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import read_shape, rms_norm
from exporter.spec import ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """The first layers are dense."""
    shape = read_shape(
        config,
        vocab=262144,
        hidden=4096,
        width=8192,
        layers=19,
        heads=64,
        kv_heads=4,
        head_dim=64,
        max_length=131072,
    )
    norm = rms_norm(config)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, theta=8_000_000.0, partial=1.0),
        qkv_bias=config.flag("attention_bias", False),
        qk_norm=norm if config.flag("use_qk_norm", True) else None,
    )
    mixture = read_deepseek_mixture(config, width=1024, experts=128, top_k=6, scale=2.5)
    return first_dense(config, "sarvam_moe", shape, attention, mixture, norm)


_RENAMES = (
    (r"^model\.word_embeddings\.", "model.embed_tokens."),
    (r"\.attention\.", ".self_attn."),
    (r"\.self_attn\.dense\.", ".self_attn.o_proj."),
    (r"\.self_attn\.query_layernorm\.", ".self_attn.q_norm."),
    (r"\.self_attn\.key_layernorm\.", ".self_attn.k_norm."),
    (r"\.mlp\.gate\.expert_bias", ".mlp.gate.e_score_correction_bias"),
)


def _named(names: Names) -> Names:
    """One projection for query, key and value."""
    joined = names.joined and _named(names.joined)
    return replace(names, qkv=("self_attn.query_key_value",), renames=_RENAMES, joined=joined)


SARVAM_MOE = Family(
    read,
    _named(NAMES),
    harmless=ROUTER_OUTPUT,
    aliases={
        **ALIASES,
        "num_experts": "n_routed_experts",
        "num_mtp_layers": "num_nextn_predict_layers",
        "num_shared_experts": "n_shared_experts",
        "use_qkv_bias": "attention_bias",
    },
)
