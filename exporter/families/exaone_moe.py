"""K-EXAONE (LG AI Research 2025)."""

from __future__ import annotations

from exporter.families.deepseek_router import deepseek_experts, read_deepseek_mixture
from exporter.families.exaone4 import read_exaone_attentions
from exporter.families.experts import ROUTER_OUTPUT, read_layer_types, some_mixed
from exporter.families.family import Family
from exporter.families.llama import NORMED_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """EXAONE 4's attention with norms before the branches; the first layers are dense."""
    shape = read_shape(
        config, vocab=102400, hidden=4096, width=16384, layers=32, heads=32, kv_heads=32, max_length=2048
    )
    norm, dense = rms_norm(config, 1e-5), config.integer("first_k_dense_replace", 1, 0)
    mixed = read_layer_types(config, [layer >= dense for layer in range(shape.layers)])
    mixture = read_deepseek_mixture(
        config,
        width=1024,
        experts=64,
        top_k=8,
        scale=2.5,
        experts_key="num_experts",
        shared_key="num_shared_experts",
    )
    attentions, plain = read_exaone_attentions(config, shape), gated_mlp(config, shape.width)
    layers = some_mixed(attentions, mixed, mixture, plain, norm)
    return shape.model("exaone_moe", layers, norm, HeadSpec(tied(config)))


EXAONE_MOE = Family(
    read,
    deepseek_experts(
        NORMED_NAMES,
        renames=((r"mlp\.e_score_correction_bias", "mlp.gate.e_score_correction_bias"),),
    ),
    harmless=ROUTER_OUTPUT,
)
