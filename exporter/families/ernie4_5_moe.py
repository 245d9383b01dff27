"""ERNIE 4.5, mixtures (Baidu 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.ernie4_5 import ernie_attention
from exporter.families.experts import ROUTER_TRAINING, gated_experts, read_mixture, some_mixed
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, ModelSpec, MoeSpec, RouterSpec


def read(config: ConfigReader) -> ModelSpec:
    """Some layers mix, from a first to a last one."""
    shape = read_shape(
        config,
        vocab=103424,
        hidden=2560,
        width=12288,
        layers=28,
        heads=20,
        kv_heads=4,
        max_length=131072,
    )
    norm, bias = rms_norm(config, 1e-5), config.flag("use_bias", False)
    layers = some_mixed(
        [ernie_attention(config, shape, bias)] * shape.layers,
        _mixed(config, shape.layers),
        _mixture(config, bias=bias),
        gated_mlp(config, shape.width, bias=bias),
        norm,
    )
    return shape.model("ernie4_5_moe", layers, norm, HeadSpec(tied(config, True), bias=bias))


def _mixed(config: ConfigReader, layers: int) -> list[bool]:
    """Which layers mix; -1 stands for the last one."""
    first = config.integer("moe_layer_start_index", 1, -layers)
    last = config.integer("moe_layer_end_index", -1, -layers)
    interval = config.integer("moe_layer_interval", 1)
    last = layers - 1 if last == -1 else last
    return [(layer + 1) % interval == 0 and first <= layer <= last for layer in range(layers)]


def _mixture(config: ConfigReader, *, bias: bool) -> MoeSpec:
    """The shared block alone may have biases."""
    router = RouterSpec(
        correction=True, normalise=True, least=config.number("moe_norm_min", 1e-12), wide=True
    )
    width, experts = config.integer("moe_intermediate_size", 1536), config.integer("moe_num_experts", 64)
    expert = gated_mlp(config, width)
    mixture = read_mixture(config, expert, experts=experts, top_k=6, router=router, key="moe_k")
    blocks = config.integer("moe_num_shared_experts", 2, 0)
    return replace(mixture, shared=gated_mlp(config, width * blocks, bias=bias)) if blocks else mixture


SHARED, CORRECTION = "mlp.shared_experts.", "mlp.gate.moe_statics.e_score_correction_bias"
NAMES = gated_experts(
    LLAMA_NAMES,
    correction=CORRECTION,
    correction_axes=1,
    shared=(f"{SHARED}gate_proj", f"{SHARED}up_proj", f"{SHARED}down_proj"),
    renames=((r"mlp\.moe_statics\.e_score_correction_bias", CORRECTION),),
)
ERNIE4_5_MOE = Family(
    read,
    NAMES,
    harmless=ROUTER_TRAINING,
    aliases={"num_experts": "moe_num_experts", "num_experts_per_tok": "moe_k"},
)
