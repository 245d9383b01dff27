"""OLMoE (Muennighoff et al. 2024) and FlexOlmo (Shi et al. 2025)."""

from __future__ import annotations

from exporter.families.experts import ROUTER_TRAINING, gated_experts, read_mixture, softmax_router
from exporter.families.family import Family
from exporter.families.llama import NORMED_NAMES
from exporter.families.olmo import OLMO2_NAMES, normed_after, olmo_attention
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, MoeSpec, QkNormScope


def read_olmoe(config: ConfigReader) -> ModelSpec:
    """Norms over all of query and key, which are clipped after that; a mixture in every layer."""
    shape = read_shape(config, vocab=50304, hidden=2048, width=2048, layers=16, heads=16, max_length=4096)
    norm, bias = rms_norm(config, 1e-5), config.flag("attention_bias", False)
    config.expect("sliding_window", None, why="only some of the reference's attention kernels look at it")
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        clip=config.optional_number("clip_qkv"),
        qk_norm=norm,
        qk_norm_scope=QkNormScope.ALL,
        qkv_bias=bias,
        out_bias=bias,
    )
    mixture = _mixture(config, shape, experts=64, top_k=8)
    layer = LayerSpec(attention, mixture, attention_norm=norm, mlp_norm=norm)
    return shape.model("olmoe", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def read_flex_olmo(config: ConfigReader) -> ModelSpec:
    """OLMo 2 with a mixture in every layer."""
    shape = read_shape(config, vocab=100352, hidden=4096, width=11008, layers=32, heads=32, max_length=4096)
    turning = read_rotary(config, shape.head_dim, shape.max_length, theta=500_000.0)
    attentions = [olmo_attention(config, shape, turning)] * shape.layers
    mixture = _mixture(config, shape, experts=7, top_k=5)
    return normed_after(config, "flex_olmo", shape, attentions, mixture, 1e-6)


def _mixture(config: ConfigReader, shape: Shape, *, experts: int, top_k: int) -> MoeSpec:
    expert, count = gated_mlp(config, shape.width), config.integer("num_experts", experts)
    return read_mixture(config, expert, experts=count, top_k=top_k, router=softmax_router(config))


ALIASES = {"num_local_experts": "num_experts"}
OLMOE = Family(read_olmoe, gated_experts(NORMED_NAMES), harmless=ROUTER_TRAINING, aliases=ALIASES)
FLEX_OLMO = Family(read_flex_olmo, gated_experts(OLMO2_NAMES), harmless=ROUTER_TRAINING, aliases=ALIASES)
