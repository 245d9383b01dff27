"""Llama 4 (Meta 2025): the text model, alone or inside a checkpoint that reads images too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from exporter.families.experts import ROUTER_OUTPUT, read_mixture, some_mixed
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.names import Experts
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import FULL, Shape, gated_mlp, read_shape, rms_norm, tied
from exporter.families.wrapped import Ties, Wrapped
from exporter.spec import (
    AttentionSpec,
    HeadSpec,
    ModelSpec,
    MoeSpec,
    NormKind,
    NormSpec,
    RopeLayout,
    RotaryRounding,
    RouterSpec,
    Score,
)

CHUNKED = "chunked_attention"


def read(config: ConfigReader) -> ModelSpec:
    """Some layers mix; some turn queries and keys, and see their own chunk of the text alone."""
    shape = read_shape(
        config,
        vocab=202048,
        hidden=5120,
        width=8192,
        layers=48,
        heads=40,
        kv_heads=8,
        head_dim=128,
        max_length=131072,
    )
    norm, turns = rms_norm(config, 1e-5), _turning_layers(config, shape.layers)
    dense = gated_mlp(config, config.integer("intermediate_size_mlp", 16384))
    mixture, mixed = _mixture(config, shape), _mixed(config, shape.layers)
    layers = some_mixed(_attentions(config, shape, turns), mixed, mixture, dense, norm)
    return shape.model("llama4_text", layers, norm, HeadSpec(tied(config)))


def _attentions(config: ConfigReader, shape: Shape, turns: Sequence[bool]) -> list[AttentionSpec]:
    bias = config.flag("attention_bias", False)
    rotary = read_rotary(
        config, shape.head_dim, shape.max_length, theta=500_000.0, layout=RopeLayout.INTERLEAVED
    )
    plain = NormSpec(NormKind.RMS, config.number("rms_norm_eps", 1e-5), scale=False)
    still = shape.attention(qkv_bias=bias, out_bias=bias)
    turning = replace(
        still,
        rotary=replace(rotary, rounding=RotaryRounding.SUM),
        qk_norm=plain if config.flag("use_qk_norm", True) else None,
        qk_norm_last=True,
    )
    grows = (config.number("attn_scale", 0.1), config.integer("floor_scale", 8192))
    if config.flag("attn_temperature_tuning", True):
        still = replace(still, position_scale=grows, position_scale_offset=1)
    chunks = _chunks(config, turns)
    return [
        replace(turning if turn else still, window=chunk, chunked=chunk is not None)
        for turn, chunk in zip(turns, chunks, strict=True)
    ]


def _turning_layers(config: ConfigReader, layers: int) -> list[bool]:
    """Which layers have rotary positions: despite its name, ``no_rope_layers`` holds a 1 for these."""
    interval = config.integer("no_rope_layer_interval", 4)
    given = config.raw("no_rope_layers")  # [] stands for the default
    flags = config.choices("no_rope_layers", (0, 1), layers, more=True) if given else None
    if flags is None:
        return [(layer + 1) % interval != 0 for layer in range(layers)]
    return [flag == 1 for flag in flags[:layers]]


def _chunks(config: ConfigReader, turns: Sequence[bool]) -> list[int | None]:
    """The size of each layer's chunks; layers that turn have some, unless layer_types says otherwise."""
    size = config.nullable_integer("attention_chunk_size", 8192)
    types = config.choices("layer_types", (FULL, CHUNKED), len(turns))
    if types is None:
        types = [CHUNKED if turn and size is not None else FULL for turn in turns]
    if CHUNKED in types and size is None:
        config.problem(f"layer_types has {CHUNKED!r}, but there is no attention_chunk_size")
    return [size if kind == CHUNKED else None for kind in types]


def _mixed(config: ConfigReader, layers: int) -> list[bool]:
    step = config.integer("interleave_moe_layer_step", 1)
    named = config.choices("moe_layers", range(layers), 0, more=True)
    return [(layer + 1) % step == 0 if named is None else layer in named for layer in range(layers)]


def _mixture(config: ConfigReader, shape: Shape) -> MoeSpec:
    """The weights of a token's experts multiply what they read; a block beside them reads it as it is."""
    expert, experts = gated_mlp(config, shape.width), config.integer("num_local_experts", 16)
    router = RouterSpec(Score.SIGMOID, on_input=True)
    return replace(read_mixture(config, expert, experts=experts, top_k=1, router=router), shared=expert)


BLOCK, SHARED = "feed_forward.", "feed_forward.shared_expert."
NAMES = replace(
    LLAMA_NAMES,
    base="language_model",
    gate=f"{BLOCK}gate_proj",
    up=f"{BLOCK}up_proj",
    down=f"{BLOCK}down_proj",
    router=f"{BLOCK}router",
    experts=("", f"{BLOCK}experts.gate_up_proj", f"{BLOCK}experts.down_proj"),
    expert_layout=Experts.COLUMNS,
    shared=(f"{SHARED}gate_proj", f"{SHARED}up_proj", f"{SHARED}down_proj"),
)
# What only the class that reads images looks at.
IMAGES = ("image_token_id", "vision_config")
LLAMA4_TEXT = Family(read, NAMES, harmless=ROUTER_OUTPUT)
LLAMA4 = Wrapped(
    "llama4",
    {"llama4_text": LLAMA4_TEXT},
    own=True,
    names=replace(
        NAMES,
        base="model",
        prefix="language_model.model.",
        head="language_model.lm_head",
        towers=("vision_model", "multi_modal_projector"),
    ),
    keys=IMAGES,
    ties=Ties.TEXT,
    part="",
).family()
