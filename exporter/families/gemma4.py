"""Gemma 4 (Gemma Team 2026): the text model, alone or inside a checkpoint that reads images and sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from exporter.families.experts import ROUTER_OUTPUT, read_mixture
from exporter.families.family import ACTIVATIONS, Family
from exporter.families.gemma2 import GEMMA2_NAMES
from exporter.families.names import Experts, Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import rotary
from exporter.families.shape import FULL, SLIDING, Shape, read_shape, tied
from exporter.families.wrapped import Wrapped
from exporter.spec import (
    Activation,
    AttentionSpec,
    BesideSpec,
    EmbeddingSpec,
    HeadSpec,
    LayerInputSpec,
    LayerInputsSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    RotarySpec,
    RouterSpec,
)

DEFAULT_ROPE: dict[str, dict[str, Any]] = {
    SLIDING: {"rope_type": "default", "rope_theta": 10_000.0},
    FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0},
}


class Heads(NamedTuple):
    """Of one layer."""

    kv_heads: int
    head_dim: int


def read(config: ConfigReader) -> ModelSpec:
    """The layers of all, beside their dense blocks mixtures, and per-layer embeddings."""
    norm, activation = _norm(config), config.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    width = config.nullable_integer("hidden_size_per_layer_input", 256, 0) or 0
    inputs = LayerInputSpec(width, activation, norm) if width else None
    beside = _beside(config, activation, norm)
    spec = _dense(config, "gemma4_text", max_length=131072, window=512)
    layers = tuple(replace(layer, beside=beside, layer_input=inputs) for layer in spec.decoder.layers)
    table = config.integer("vocab_size_per_layer_input", 262144)
    if width and table < spec.vocab_size:
        config.problem(f"vocab_size_per_layer_input={table} is less than vocab_size={spec.vocab_size}")
    own = LayerInputsSpec(table, len(layers), width, norm) if width else None
    embedding = replace(spec.decoder.embedding, layer_inputs=own)
    return replace(spec, decoder=replace(spec.decoder, embedding=embedding, layers=layers))


def read_unified(config: ConfigReader) -> ModelSpec:
    """Those of all alone."""
    return _dense(config, "gemma4_unified_text", max_length=262144, window=1024)


def _norm(config: ConfigReader) -> NormSpec:
    return NormSpec(NormKind.RMS, config.number("rms_norm_eps", 1e-6))


def _dense(config: ConfigReader, model_type: str, *, max_length: int, window: int) -> ModelSpec:
    """Heads by the kind of layer; the last layers read the keys and values of earlier ones."""
    shape = read_shape(
        config,
        vocab=262144,
        hidden=2304,
        width=9216,
        layers=30,
        heads=8,
        kv_heads=4,
        head_dim=256,
        max_length=max_length,
    )
    config.expect("use_bidirectional_attention", None, "vision", why="generation needs a causal model")
    norm = _norm(config)
    activation = config.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    layers = [
        LayerSpec(
            attention,
            MlpSpec(shape.width * wider, activation, gated=True),
            attention_norm=norm,
            attention_out_norm=norm,
            mlp_norm=norm,
            mlp_out_norm=norm,
            scaled=True,
        )
        for attention, wider in _attentions(config, shape, norm, window)
    ]
    embedding = EmbeddingSpec(shape.hidden, scale=shape.hidden**0.5, rounded_scale=True)
    head = HeadSpec(tied(config, True), softcap=config.optional_number("final_logit_softcapping"))
    return shape.model(model_type, layers, norm, head, embedding)


def _attentions(
    config: ConfigReader, shape: Shape, norm: NormSpec, window: int
) -> list[tuple[AttentionSpec, int]]:
    """Each layer's attention, and how many times as wide its block is."""
    kinds = _kinds(config, shape.layers)
    heads, lenders = _heads(config, shape, kinds), borrowed_from(config, kinds, 0)
    rotaries = _rotaries(config, shape, kinds, heads)
    window, bias = config.integer("sliding_window", window), config.flag("attention_bias", False)
    same, wide = config.flag("attention_k_eq_v", False), config.flag("use_double_wide_mlp", False)
    found = []
    for index, (kind, own, lender) in enumerate(zip(kinds, heads, lenders, strict=True)):
        attention = shape.attention(
            kv_heads=own.kv_heads,
            head_dim=own.head_dim,
            scale=1.0,
            rotary=rotaries[kind],
            window=window if kind == SLIDING else None,
            qkv_bias=bias,
            out_bias=bias,
            qk_norm=norm,
            value_norm=replace(norm, scale=False),
            value_is_key=same and kind == FULL and lender is None,
            lent=index in lenders,
            borrowed=lender,
        )
        found.append((attention, 2 if wide and lender is not None else 1))
    return found


def _kinds(config: ConfigReader, layers: int) -> list[str]:
    """The last layer sees everything, whatever ``layer_types`` says."""
    kinds = config.choices("layer_types", (FULL, SLIDING), layers)
    if kinds is None:
        kinds = [SLIDING if (layer + 1) % 6 else FULL for layer in range(layers)]
    return [*kinds[:-1], FULL]


def _heads(config: ConfigReader, shape: Shape, kinds: Sequence[str]) -> list[Heads]:
    """``per_layer_config`` says how a layer's heads differ; else two keys do for all that see everything."""
    own, given = Heads(shape.kv_heads, shape.head_dim), config.mapping("per_layer_config")
    config.harmless("global_head_dim", "num_global_key_value_heads")
    if not given:
        size = config.integer("global_head_dim", 512)
        count = config.optional_integer("num_global_key_value_heads")
        overall = count if count and config.flag("attention_k_eq_v", False) else shape.kv_heads
        heads = [Heads(overall, size) if kind == FULL else own for kind in kinds]
    else:
        # The reference writes numbers of one width: "05".
        by_layer = {int(layer): value for layer, value in given.items() if str(layer).isdecimal()}
        if strange := [layer for layer in given if not str(layer).isdecimal()]:
            config.problem(f"per_layer_config: {strange[0]!r} is no number of a layer")
        heads = [_override(config, shape, index, by_layer.get(index, {})) for index in range(len(kinds))]
    for kind in {SLIDING, FULL}:
        sizes = {size for size, other in zip(heads, kinds, strict=True) if other == kind}
        if len(sizes) > 1:
            config.problem(f"per_layer_config: layers of {kind!r} differ in their heads")
    if any(shape.heads % each.kv_heads for each in heads):
        config.problem(f"num_attention_heads={shape.heads} is not a multiple of a layer's key/value heads")
    return heads


def _override(config: ConfigReader, shape: Shape, layer: int, given: Any) -> Heads:
    if not isinstance(given, dict) or not given.keys() <= {"head_dim", "num_key_value_heads"}:
        config.problem(f"per_layer_config.{layer} may hold head_dim and num_key_value_heads alone")
        given = {}
    section = ConfigReader(given)
    heads = Heads(
        section.integer("num_key_value_heads", shape.kv_heads), section.integer("head_dim", shape.head_dim)
    )
    for text in section._problems:
        config.problem(f"per_layer_config.{layer}.{text}")
    return heads


def borrowed_from(config: ConfigReader, kinds: Sequence[str], shared: int) -> list[int | None]:
    """The layer whose keys and values each layer reads: of the last ones the last before of their kind.

    ``shared`` is the family's default of how many do.
    """
    first = len(kinds) - config.integer("num_kv_shared_layers", shared, 0)
    before = list(kinds[: max(first, 0)])
    if not set(kinds) <= set(before):
        wanted = " and ".join(sorted(set(kinds)))
        config.problem(
            f"num_kv_shared_layers={len(kinds) - first} leaves no layer of {wanted} with keys and values"
        )
        return [None] * len(kinds)
    last = {kind: max(index for index, other in enumerate(before) if other == kind) for kind in set(before)}
    return [None if index < first else last[kind] for index, kind in enumerate(kinds)]


def _rotaries(
    config: ConfigReader, shape: Shape, kinds: Sequence[str], heads: Sequence[Heads]
) -> dict[str, RotarySpec]:
    """By kind of layer."""
    given = config.mapping("rope_parameters") or DEFAULT_ROPE
    found = {}
    for kind in dict.fromkeys(kinds):
        if not isinstance(given.get(kind), dict):
            config.wrong("rope_parameters", given, f"must hold an object for {kind!r}")
        own = given.get(kind) if isinstance(given.get(kind), dict) else DEFAULT_ROPE[kind]
        section, size = config.rope(f"rope_parameters.{kind}", own or {}), heads[kinds.index(kind)].head_dim
        found[kind] = rotary(config, section, size, shape.max_length, theta=10_000.0)
    return found


def _beside(config: ConfigReader, activation: Activation, norm: NormSpec) -> BesideSpec | None:
    """The mixture beside each dense block."""
    if not config.flag("enable_moe_block", False):
        config.harmless("num_experts", "top_k_experts", "moe_intermediate_size")
        return None
    mixture = read_mixture(
        config,
        MlpSpec(config.integer("moe_intermediate_size"), activation, gated=True),
        experts=config.integer("num_experts"),
        top_k=None,
        router=RouterSpec(normalise=True, norm=replace(norm, round_first=True), expert_scale=True),
        key="top_k_experts",
    )
    return BesideSpec(mixture, norm)


NAMES = replace(
    GEMMA2_NAMES,
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
    layer_input=("per_layer_input_gate", "per_layer_projection", "post_per_layer_input_norm"),
    layer_inputs=("embed_tokens_per_layer", "per_layer_model_projection", "per_layer_projection_norm"),
    scaled="layer_scalar",
    beside=("post_feedforward_layernorm_1", "pre_feedforward_layernorm_2", "post_feedforward_layernorm_2"),
    router="router.proj",
    router_norm="router.scale",
    expert_scale="router.per_expert_scale",
    experts=("", "experts.gate_up_proj", "experts.down_proj"),
    expert_layout=Experts.HALVES,
)


def names_of(spec: ModelSpec) -> Names:
    """Those of one model."""
    return without_borrowed(NAMES, spec)


def without_borrowed(names: Names, spec: ModelSpec) -> Names:
    """What a borrowing layer's own keys and values would be, some checkpoints store and nothing reads."""
    borrowers = [
        str(index)
        for index, layer in enumerate(spec.decoder.layers)
        if layer.attention and layer.attention.borrowed is not None
    ]
    if not borrowers:
        return names
    pattern = rf"(^|\.)layers\.({'|'.join(borrowers)})\.self_attn\.(k_proj|v_proj|k_norm|v_norm)\."
    return replace(names, unused=(*names.unused, pattern))


_MEDIA = {"image_token_id": 258880, "video_token_id": 258884, "audio_token_id": 258881}


def _wrapped(model_type: str, text: Family) -> Family:
    return Wrapped(
        model_type,
        {f"{model_type}_text": text},
        own=True,
        keys=("audio_config", "vision_config"),
        placeholders=_MEDIA,
        head=True,
        renames=(),
    ).family()


GEMMA4_TEXT = Family(read, names_of, harmless=ROUTER_OUTPUT)
GEMMA4_UNIFIED_TEXT = Family(read_unified, names_of)
GEMMA4 = _wrapped("gemma4", GEMMA4_TEXT)
GEMMA4_UNIFIED = _wrapped("gemma4_unified", GEMMA4_UNIFIED_TEXT)
