"""Mixtral (Jiang et al. 2024), and what the readers of mixtures of experts share."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.names import Experts
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, MlpSpec, ModelSpec, MoeSpec, Routing

# Config keys of every mixture's training.
ROUTER_TRAINING = ("output_router_logits", "router_aux_loss_coef")


def read(config: ConfigReader) -> ModelSpec:
    """Mistral with a mixture in every layer; the weights of a token's experts add up to one."""
    shape = read_shape(
        config, vocab=32000, hidden=4096, width=14336, layers=32, heads=32, kv_heads=8, max_length=131072
    )
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, theta=1_000_000.0),
        window=config.optional_integer("sliding_window"),
    )
    experts, expert = config.integer("num_local_experts", 8), gated_mlp(config, shape.width)
    mixture = read_mixture(config, expert, experts=experts, top_k=2, routing=Routing.SOFTMAX_TOP_K)
    norm = rms_norm(config, 1e-5)
    layer = LayerSpec(attention, mixture, attention_norm=norm, mlp_norm=norm)
    return shape.model("mixtral", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def read_mixture(
    config: ConfigReader, expert: MlpSpec, *, experts: int, top_k: int, routing: Routing
) -> MoeSpec:
    """A mixture of ``experts`` equal experts; ``top_k`` is the default of ``num_experts_per_tok``."""
    chosen = config.integer("num_experts_per_tok", top_k)
    if chosen > experts:
        config.problem(f"num_experts_per_tok={chosen} is more than the {experts} experts there are")
    return MoeSpec(experts, min(chosen, experts), routing, expert)


EXPERT = "block_sparse_moe.experts.{e}."
JOINED = replace(
    LLAMA_NAMES,
    router="mlp.gate",
    experts=("", "mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
    expert_layout=Experts.HALVES,
)
MIXTRAL = Family(
    read,
    replace(
        LLAMA_NAMES,
        router="block_sparse_moe.gate",
        experts=(f"{EXPERT}w1", f"{EXPERT}w3", f"{EXPERT}w2"),
        joined=JOINED,
    ),
    harmless=(*ROUTER_TRAINING, "router_jitter_noise"),
    aliases={"num_experts": "num_local_experts"},
)
