"""StableLM (Bellagente et al. 2024)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, layer_norm, read_shape, tied
from exporter.spec import Block, HeadSpec, LayerSpec, ModelSpec, NormKind, NormSpec, QkNormScope


def read(config: ConfigReader) -> ModelSpec:
    """Llama with LayerNorm, heads that turn in part, and per-head query and key norms."""
    config.expect("head_dim", None, why="the reference derives it from hidden_size in attention")
    shape = read_shape(
        config, vocab=50304, hidden=2560, width=6912, layers=32, heads=32, kv_heads=32, max_length=4096
    )
    norm = layer_norm(config)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, partial=0.25),
        qkv_bias=config.flag("use_qkv_bias", False),
        qk_norm=NormSpec(NormKind.LAYER, norm.epsilon) if config.flag("qk_layernorm", False) else None,
        qk_norm_scope=QkNormScope.PER_HEAD,
    )
    parallel = config.flag("use_parallel_residual", False)
    layer = LayerSpec(
        attention,
        gated_mlp(config, shape.width),
        block=Block.PARALLEL if parallel else Block.SEQUENTIAL,
        attention_norm=norm,
        mlp_norm=None if parallel else norm,
    )
    return shape.model("stablelm", [layer] * shape.layers, norm, HeadSpec(tied(config)))


STABLELM = Family(
    read,
    replace(
        LLAMA_NAMES,
        q_norm="self_attn.q_layernorm.norms.{h}",
        k_norm="self_attn.k_layernorm.norms.{h}",
    ),
    harmless=("hidden_dropout",),
)
