"""Granite mixtures (IBM 2024), with a shared expert, and with windows and sinks."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.experts import ROUTER_TRAINING, read_mixture
from exporter.families.family import Family
from exporter.families.granite import (
    granite_attention,
    granite_layer,
    granite_model,
    granite_scale,
    granite_windows,
)
from exporter.families.llama import LLAMA_NAMES
from exporter.families.names import Experts
from exporter.families.reader import ConfigReader
from exporter.families.shape import Shape, gated_mlp, read_shape, rms_norm
from exporter.spec import ModelSpec, MoeSpec, RouterSpec


def read_granitemoe(config: ConfigReader) -> ModelSpec:
    """Granite with a mixture in every layer."""
    shape = _shape(config)
    return _model(config, "granitemoe", shape, _mixture(config, shape))


def read_granitemoeshared(config: ConfigReader) -> ModelSpec:
    """The same beside a block that all tokens share, if that is not of size 0."""
    shape = _shape(config)
    return _model(config, "granitemoeshared", shape, _shared_mixture(config, shape))


def read_granitemoe_swa(config: ConfigReader) -> ModelSpec:
    """The same with Granite's windows and sinks."""
    shape = _shape(config)
    mixture, norm = _shared_mixture(config, shape), rms_norm(config)
    attentions = granite_windows(config, shape)
    layers = [granite_layer(config, norm, attention, mixture) for attention in attentions]
    return granite_model(config, "granitemoe_swa", shape, layers, norm, scale=granite_scale(config))


def _shape(config: ConfigReader) -> Shape:
    return read_shape(config, vocab=32000, hidden=4096, width=11008, layers=32, heads=32, max_length=2048)


def _model(config: ConfigReader, model_type: str, shape: Shape, mixture: MoeSpec) -> ModelSpec:
    norm, attention = rms_norm(config), granite_attention(config, shape, 1.0)
    layer = granite_layer(config, norm, attention, mixture)
    return granite_model(config, model_type, shape, [layer] * shape.layers, norm, scale=granite_scale(config))


def _mixture(config: ConfigReader, shape: Shape) -> MoeSpec:
    expert, experts = gated_mlp(config, shape.width), config.integer("num_local_experts", 8)
    return read_mixture(config, expert, experts=experts, top_k=2, router=RouterSpec(normalise=True))


def _shared_mixture(config: ConfigReader, shape: Shape) -> MoeSpec:
    mixture, width = _mixture(config, shape), config.integer("shared_intermediate_size", 0, 0)
    return replace(mixture, shared=gated_mlp(config, width)) if width else mixture


MIXTURE, SHARED = "block_sparse_moe.", "shared_mlp."
JOINED = replace(
    LLAMA_NAMES,
    sinks="self_attn.sinks",
    router=f"{MIXTURE}router",
    experts=("", f"{MIXTURE}experts.gate_up_proj", f"{MIXTURE}experts.down_proj"),
    expert_layout=Experts.HALVES,
    shared=("", f"{SHARED}input_linear", f"{SHARED}output_linear"),
)
# Version 4 joined the experts too, under other names.
NAMES = replace(
    JOINED,
    router=f"{MIXTURE}router.layer",
    experts=("", f"{MIXTURE}input_linear.weight", f"{MIXTURE}output_linear.weight"),
    joined=JOINED,
)
GRANITEMOE = Family(read_granitemoe, NAMES, harmless=ROUTER_TRAINING)
GRANITEMOESHARED = Family(read_granitemoeshared, NAMES, harmless=ROUTER_TRAINING)
GRANITEMOE_SWA = Family(read_granitemoe_swa, JOINED, harmless=ROUTER_TRAINING)
