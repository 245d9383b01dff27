"""Granite 4 (IBM 2025): Granite with Mamba 2 states in most layers, dense or with mixtures."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_TRAINING, read_mixture
from exporter.families.family import Family
from exporter.families.granite import granite_attention, granite_model, granite_scale
from exporter.families.granite_moe import JOINED as MOE_JOINED
from exporter.families.granite_moe import NAMES as MOE_NAMES
from exporter.families.llama import LLAMA_NAMES
from exporter.families.mamba2 import gated_norm, hybrid_state, mamba2_names
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import FULL, LINEAR, Shape, gated_mlp, layer_kinds, read_shape, rms_norm
from exporter.spec import (
    AttentionSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    MoeSpec,
    RouterSpec,
)


def read(config: ConfigReader) -> ModelSpec:
    """Factors as in Granite 3; positions only where position_embedding_type is rope."""
    shape = read_shape(config, vocab=32000, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)
    norm = rms_norm(config)
    layer = LayerSpec(
        mlp=_fed(config, shape),
        attention_norm=norm,
        mlp_norm=norm,
        residual_scale=config.number("residual_multiplier", 1.0),
    )
    own = {
        FULL: replace(layer, attention=_attention(config, shape)),
        LINEAR: replace(layer, state=hybrid_state(config, shape.hidden, gated_norm(norm.epsilon))),
    }
    kinds = layer_kinds(config, shape.layers) or [LINEAR] * shape.layers
    layers = [own[kind] for kind in kinds]
    return granite_model(config, "granitemoehybrid", shape, layers, norm, scale=granite_scale(config))


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    attention = granite_attention(config, shape, 1.0)
    return attention if config.raw("position_embedding_type") == "rope" else replace(attention, rotary=None)


def _fed(config: ConfigReader, shape: Shape) -> MlpSpec | MoeSpec:
    """A block that all tokens share, alone or beside experts."""
    shared = gated_mlp(config, config.integer("shared_intermediate_size", 1024))
    experts = config.integer("num_local_experts", 8, minimum=0)
    if not experts:
        config.harmless("num_experts_per_tok")
        return shared
    expert = gated_mlp(config, shape.width)
    router = RouterSpec(normalise=True)
    mixture = read_mixture(config, expert, experts=experts, top_k=2, router=router)
    return replace(mixture, shared=shared)


STATE = mamba2_names("mamba")
JOINED = replace(MOE_JOINED, state=STATE)
NAMES = replace(MOE_NAMES, state=STATE, joined=JOINED)
DENSE = replace(LLAMA_NAMES, gate="", up=NAMES.shared[1], down=NAMES.shared[2], state=STATE)


def names(spec: ModelSpec) -> Names:
    """Without experts the shared block is the feed-forward block."""
    return NAMES if isinstance(spec.decoder.layers[0].mlp, MoeSpec) else DENSE


GRANITE_HYBRID = Family(
    read,
    names,
    harmless=(*ROUTER_TRAINING, "intermediate_size", "mamba_chunk_size"),
    aliases={"layers_block_type": "layer_types"},
)
