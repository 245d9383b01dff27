"""Granite 4 (IBM 2025): Granite with Mamba 2 states in most layers, dense or with mixtures."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_TRAINING, read_mixture
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.mamba2 import hybrid_state, mamba2_names
from exporter.families.names import Experts, Names
from exporter.families.qwen3_next import LINEAR, layer_kinds
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import FULL, Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import (
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
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
        LINEAR: replace(layer, state=hybrid_state(config, shape.hidden, epsilon=norm.epsilon)),
    }
    kinds = layer_kinds(config, shape.layers) or [LINEAR] * shape.layers
    embedding = EmbeddingSpec(shape.hidden, scale=config.number("embedding_multiplier", 1.0))
    scaling = config.number("logits_scaling", 1.0)
    if scaling == 0.0:
        config.problem("logits_scaling=0 divides the logits by zero")
    head = HeadSpec(tied(config), scale=1.0 / (scaling or 1.0))
    return shape.model("granitemoehybrid", [own[kind] for kind in kinds], norm, head, embedding)


def _attention(config: ConfigReader, shape: Shape) -> AttentionSpec:
    bias, turning = (
        config.flag("attention_bias", False),
        read_rotary(config, shape.head_dim, shape.max_length),
    )
    return shape.attention(
        rotary=turning if config.raw("position_embedding_type") == "rope" else None,
        scale=config.number("attention_multiplier", 1.0),
        qkv_bias=bias,
        out_bias=bias,
    )


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


MIXTURE, SHARED = "block_sparse_moe.", ("", "shared_mlp.input_linear", "shared_mlp.output_linear")
JOINED = replace(
    LLAMA_NAMES,
    router=f"{MIXTURE}router",
    experts=("", f"{MIXTURE}experts.gate_up_proj", f"{MIXTURE}experts.down_proj"),
    expert_layout=Experts.HALVES,
    shared=SHARED,
    state=mamba2_names("mamba"),
)
# Version 4 joined the experts too, under other names.
NAMES = replace(
    JOINED,
    router=f"{MIXTURE}router.layer",
    experts=("", f"{MIXTURE}input_linear.weight", f"{MIXTURE}output_linear.weight"),
    joined=JOINED,
)
DENSE = replace(LLAMA_NAMES, gate=SHARED[0], up=SHARED[1], down=SHARED[2], state=NAMES.state)


def names(spec: ModelSpec) -> Names:
    """Without experts the shared block is the feed-forward block."""
    return NAMES if isinstance(spec.decoder.layers[0].mlp, MoeSpec) else DENSE


GRANITE_HYBRID = Family(
    read,
    names,
    harmless=(*ROUTER_TRAINING, "intermediate_size", "mamba_chunk_size"),
    aliases={"layers_block_type": "layer_types"},
)
