"""Jamba (AI21 2024): Mamba states, attention in every eighth layer, a mixture in every other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from exporter.families.bamba import BAMBA_NAMES
from exporter.families.experts import ROUTER_TRAINING, read_mixture
from exporter.families.family import ACTIVATIONS, Family
from exporter.families.mamba import mamba_names, time_rank
from exporter.families.names import Experts
from exporter.families.reader import ConfigReader
from exporter.families.shape import Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, MambaSpec, ModelSpec, NormSpec, RouterSpec


def read(config: ConfigReader) -> ModelSpec:
    """No positions; norms of time steps, B and C."""
    shape = read_shape(
        config,
        vocab=65536,
        hidden=4096,
        width=14336,
        layers=32,
        heads=32,
        kv_heads=8,
        max_length=262144,
    )
    norm, plain = rms_norm(config), gated_mlp(config, shape.width)
    experts = config.integer("num_experts", 16)
    mixture = read_mixture(config, plain, experts=experts, top_k=2, router=RouterSpec())
    attends, mixes = _every(config, "attn_layer", 8, 4), _every(config, "expert_layer", 2, 1)
    layer = LayerSpec(attention_norm=norm, mlp_norm=norm)
    attending = replace(layer, attention=shape.attention())
    carrying = replace(layer, state=_state(config, shape, norm))
    layers = [
        replace(
            attending if attends(index) else carrying, mlp=mixture if experts > 1 and mixes(index) else plain
        )
        for index in range(shape.layers)
    ]
    return shape.model("jamba", layers, norm, HeadSpec(tied(config)))


def _every(config: ConfigReader, name: str, period: int, offset: int) -> Callable[[int], bool]:
    """Whether a layer is of the kind ``name``."""
    period = config.integer(f"{name}_period", period)
    offset = config.integer(f"{name}_offset", offset, minimum=0)
    if offset >= period:
        config.problem(f"{name}_offset={offset} must be below {name}_period={period}")
    return lambda layer: layer % period == offset


def _state(config: ConfigReader, shape: Shape, norm: NormSpec) -> MambaSpec:
    return MambaSpec(
        channels=config.integer("mamba_expand", 2) * shape.hidden,
        states=config.integer("mamba_d_state", 16),
        rank=time_rank(config, "mamba_dt_rank", shape.hidden),
        kernel=config.integer("mamba_d_conv", 4),
        activation=config.choice("hidden_act", ACTIVATIONS, "silu"),
        conv_bias=config.flag("mamba_conv_bias", True),
        bias=config.flag("mamba_proj_bias", False),
        norm=norm,
    )


EXPERT = "feed_forward.experts.{e}."
JOINED = replace(
    BAMBA_NAMES,
    router="feed_forward.router",
    experts=("", "feed_forward.experts.gate_up_proj", "feed_forward.experts.down_proj"),
    expert_layout=Experts.HALVES,
    state=mamba_names("mamba", "dt_layernorm", "b_layernorm", "c_layernorm"),
)
NAMES = replace(
    JOINED,
    experts=(f"{EXPERT}gate_proj", f"{EXPERT}up_proj", f"{EXPERT}down_proj"),
    expert_layout=Experts.APART,
    joined=JOINED,
)
HARMLESS = (
    *ROUTER_TRAINING,
    "layer_types",
    "layers_block_type",
    "layers_num_experts",
    "use_associative_scan",
    "use_mamba_kernels",
    "use_mambapy",
)
JAMBA = Family(read, NAMES, harmless=HARMLESS, aliases={"num_local_experts": "num_experts"})
