"""JetMoE (Shen et al. 2024): mixtures of attention heads, and of feed-forward blocks."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_OUTPUT, read_mixture
from exporter.families.family import ACTIVATIONS, Family
from exporter.families.names import Experts, MixedHeadsNames, Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, rms_norm, tied
from exporter.spec import (
    ChoiceSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    MoeSpec,
    NormKind,
    NormSpec,
    RouterSpec,
)

# The reference's layers do not hand rms_norm_eps to their norms.
_NORM = NormSpec(NormKind.RMS, 1e-6, round_first=True)


def read(config: ConfigReader) -> ModelSpec:
    """A token chooses as many experts for its heads as for its block; each has a query for every key head."""
    width = config.integer("intermediate_size", 5632)
    mixture = _mixture(config, width)
    kv_heads = config.integer("num_key_value_heads", 16)
    shape = Shape(
        vocab=config.integer("vocab_size", 32000),
        hidden=config.integer("hidden_size", 2048),
        width=width,
        layers=config.integer("num_hidden_layers", 12),
        heads=kv_heads * mixture.top_k,
        kv_heads=kv_heads,
        head_dim=config.integer("kv_channels", 128),
        max_length=config.integer("max_position_embeddings", 4096),
    )
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length),
        experts=ChoiceSpec(mixture.experts, mixture.top_k, mixture.router),
    )
    layer = LayerSpec(attention, mixture, attention_norm=_NORM, mlp_norm=_NORM)
    return shape.model("jetmoe", [layer] * shape.layers, rms_norm(config), HeadSpec(tied(config, True)))


def _mixture(config: ConfigReader, width: int) -> MoeSpec:
    """Weights are a softmax over the chosen logits: probabilities of all, made to add up to one."""
    expert = MlpSpec(width, config.choice("activation_function", ACTIVATIONS, "silu"), gated=True)
    experts, router = config.integer("num_local_experts", 8), RouterSpec(normalise=True)
    return replace(read_mixture(config, expert, experts=experts, top_k=2, router=router), out_bias=True)


HEADS = "self_attention.experts."
NAMES = Names(
    prefix="model.",
    tokens="embed_tokens",
    layer="layers.{i}.",
    attention_norm="input_layernorm",
    qkv=(),
    out="",
    mixed_heads=MixedHeadsNames(
        kv="self_attention.kv_proj",
        router=f"{HEADS}router.layer",
        q=f"{HEADS}input_linear.weight",
        out=f"{HEADS}output_linear.weight",
        bias=f"{HEADS}bias",
    ),
    mlp_norm="post_attention_layernorm",
    router="mlp.router.layer",
    experts=("", "mlp.input_linear.weight", "mlp.output_linear.weight"),
    expert_layout=Experts.HALVES,
    mixture_bias="mlp.bias",
    up="",
    down="",
    final_norm="norm",
)
# The reference works num_attention_heads out anew.
JETMOE = Family(
    read,
    NAMES,
    harmless=(*ROUTER_OUTPUT, "aux_loss_coef", "num_attention_heads"),
    aliases={"head_dim": "kv_channels"},
)
