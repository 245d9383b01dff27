"""Aria's text model (Rhymes AI 2024)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_OUTPUT, read_mixture
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.names import Experts
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import Activation, HeadSpec, LayerSpec, MlpSpec, ModelSpec, MoeSpec, RouterSpec


def read(config: ConfigReader) -> ModelSpec:
    """Llama with a mixture in every layer, beside a block that all tokens share."""
    shape = read_shape(config, vocab=32000, hidden=4096, width=4096, layers=32, heads=32, max_length=2048)
    norm, bias = rms_norm(config), config.flag("attention_bias", False)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length), qkv_bias=bias, out_bias=bias
    )
    layer = LayerSpec(attention, _mixture(config, shape), attention_norm=norm, mlp_norm=norm)
    return shape.model("aria_text", [layer] * shape.layers, norm, HeadSpec(tied(config)))


def _mixture(config: ConfigReader, shape: Shape) -> MoeSpec:
    """``hidden_act`` and ``mlp_bias`` are the shared block's alone."""
    expert, router = MlpSpec(shape.width, Activation.SILU, gated=True), RouterSpec(normalise=True)
    experts, blocks = config.integer("moe_num_experts", 8), config.integer("moe_num_shared_experts", 2)
    mixture = read_mixture(config, expert, experts=experts, top_k=2, router=router, key="moe_topk")
    bias = config.flag("mlp_bias", False)
    return replace(mixture, shared=gated_mlp(config, shape.width * blocks, bias=bias))


SHARED = "mlp.shared_experts."
JOINED = replace(
    LLAMA_NAMES,
    router="mlp.router",
    experts=("", "mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
    expert_layout=Experts.COLUMNS,
    shared=(f"{SHARED}gate_proj", f"{SHARED}up_proj", f"{SHARED}down_proj"),
)
ARIA_TEXT = Family(
    read,
    replace(JOINED, experts=("", "mlp.experts.fc1.weight", "mlp.experts.fc2.weight"), joined=JOINED),
    harmless=ROUTER_OUTPUT,
)
