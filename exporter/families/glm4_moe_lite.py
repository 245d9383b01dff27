"""GLM-4.7-Flash (Z.ai 2026): DeepSeek-V3 whose layers are told apart by name."""

from __future__ import annotations

from exporter.families.deepseek import NAMES
from exporter.families.deepseek_router import read_deepseek_mixture
from exporter.families.experts import ROUTER_TRAINING, some_mixed
from exporter.families.family import Family
from exporter.families.latents import read_latent_attention, read_latent_sizes, read_layout
from exporter.families.reader import ConfigReader
from exporter.families.shape import gated_mlp, rms_norm, tied
from exporter.spec import HeadSpec, ModelSpec

DENSE, SPARSE = "dense", "sparse"


def read(config: ConfigReader) -> ModelSpec:
    """A mixture in every layer but the first, unless ``mlp_layer_types`` says otherwise."""
    shape, latent = read_latent_sizes(
        config,
        rank=512,
        query_rank=768,
        plain=192,
        rotated=64,
        value=256,
        vocab=154880,
        hidden=2048,
        width=10240,
        layers=47,
        heads=20,
        max_length=202752,
    )
    attention = read_latent_attention(config, shape, latent, read_layout(config))
    mixture = read_deepseek_mixture(config, width=1536, experts=64, top_k=4, scale=1.8)
    types = config.choices("mlp_layer_types", (DENSE, SPARSE), shape.layers)
    types = types or [DENSE] + [SPARSE] * (shape.layers - 1)
    norm, plain = rms_norm(config, 1e-5), gated_mlp(config, shape.width)
    mixed = [kind == SPARSE for kind in types]
    layers = some_mixed([attention] * shape.layers, mixed, mixture, plain, norm)
    return shape.model("glm4_moe_lite", layers, norm, HeadSpec(tied(config)))


GLM4_MOE_LITE = Family(
    read,
    NAMES,
    harmless=(*ROUTER_TRAINING[:1], "qk_head_dim"),
    aliases={"num_local_experts": "n_routed_experts", "head_dim": "qk_rope_head_dim"},
)
