"""Gemma 3n (Gemma Team 2025): the text model, alone or inside a checkpoint that reads images and sound."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.gemma2 import GEMMA2_NAMES
from exporter.families.gemma4 import NAMES as GEMMA4_NAMES
from exporter.families.gemma4 import borrowed_from, without_borrowed
from exporter.families.names import Names, StreamNames
from exporter.families.reader import ConfigReader
from exporter.families.rope import nested_rotaries
from exporter.families.shape import FULL, LLAMA_KEYS, SLIDING, Shape, read_shape, read_windows, tied
from exporter.families.wrapped import TOWERS, Wrapped
from exporter.spec import (
    AltUpSpec,
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
    LaurelSpec,
    LayerInputSpec,
    LayerInputsSpec,
    LayerSpec,
    MediaTableSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
)

#: Of a layer's share of numbers that are cut: within what float32 tells from 0 and 1.
_LEAST_SHARE, _MOST_SHARE = 1e-30, 0.9999999


def read(config: ConfigReader) -> ModelSpec:
    """Several parts of the residual stream, per-layer embeddings, cut gates, layers that borrow."""
    keys = replace(LLAMA_KEYS, width="")  # each layer has its own
    sizes = {"vocab": 262400, "hidden": 2048, "layers": 35, "heads": 8, "kv_heads": 2, "head_dim": 256}
    shape = read_shape(config, keys, max_length=32768, **sizes)
    norm = NormSpec(NormKind.RMS, config.number("rms_norm_eps", 1e-6))
    width = config.integer("hidden_size_per_layer_input", 256)
    table = config.integer("vocab_size_per_layer_input", 262144)
    inputs = LayerInputsSpec(table, shape.layers, width, norm, rounded=True)
    embedding = EmbeddingSpec(shape.hidden, shape.hidden**0.5, rounded_scale=True, layer_inputs=inputs)
    head = HeadSpec(tied(config, True), softcap=config.nullable_number("final_logit_softcapping", 30.0))
    return shape.model("gemma3n_text", _layers(config, shape, norm, width), norm, head, embedding)


def _layers(config: ConfigReader, shape: Shape, norm: NormSpec, width: int) -> list[LayerSpec]:
    """``width``: of a layer's part of the per-layer embeddings."""
    activation = config.choice("hidden_activation", ACTIVATIONS, "gelu_pytorch_tanh")
    layer = LayerSpec(
        attention_norm=norm,
        attention_out_norm=norm,
        mlp_norm=norm,
        mlp_out_norm=norm,
        layer_input=LayerInputSpec(width, activation, norm),
        altup=_altup(config, norm),
        laurel=LaurelSpec(config.integer("laurel_rank", 64), norm),
    )
    attentions = _attentions(config, shape, norm)
    widths, shares = _widths(config, shape.layers), _shares(config, shape.layers)
    return [
        replace(layer, attention=attention, mlp=MlpSpec(inner, activation, gated=True, sparsity=share))
        for attention, inner, share in zip(attentions, widths, shares, strict=True)
    ]


def _altup(config: ConfigReader, norm: NormSpec) -> AltUpSpec:
    """The clipping of coefficients is for training alone."""
    config.harmless("altup_coef_clip")
    parts, active = config.integer("altup_num_inputs", 4, 2), config.integer("altup_active_idx", 0, 0)
    if active >= parts:
        config.problem(f"altup_active_idx={active} must be less than altup_num_inputs={parts}")
    return AltUpSpec(parts, min(active, parts - 1), norm, scaled=config.flag("altup_correct_scale", True))


def _widths(config: ConfigReader, layers: int) -> list[int]:
    """One number for all, or a list."""
    if not isinstance(config.raw("intermediate_size"), list):
        return [config.integer("intermediate_size", 16384)] * layers
    items = config.items("intermediate_size", layers)
    return [items.integer(str(index), 16384) for index in range(layers)]


def _shares(config: ConfigReader, layers: int) -> list[float]:
    """Of each layer's gate, how much is cut; without a list, of the first ten of many layers."""
    if not config.has("activation_sparsity_pattern"):
        cut = 10 if layers > 10 else 0
        return [0.95] * cut + [0.0] * (layers - cut)
    items, found = config.items("activation_sparsity_pattern", layers), []
    for index in range(layers):
        share = items.number(str(index), 0.0)
        if share > 0.0 and not _LEAST_SHARE <= share <= _MOST_SHARE:
            items.wrong(str(index), share, f"must be 0, or from {_LEAST_SHARE} to {_MOST_SHARE}")
            share = 0.0
        found.append(max(share, 0.0))
    return found


def _attentions(config: ConfigReader, shape: Shape, norm: NormSpec) -> list[AttentionSpec]:
    """Four windowed layers, then one that is not; the last ones read the keys and values of earlier ones."""
    window, bias = config.integer("sliding_window", 512), config.flag("attention_bias", False)
    windows = read_windows(config, shape.layers, window, lambda layer: (layer + 1) % 5 != 0)
    lenders = borrowed_from(config, [FULL if size is None else SLIDING for size in windows], 15)
    local, overall = nested_rotaries(
        config,
        shape,
        local=config.number("rope_local_base_freq", 10_000.0, positive=True),
        overall=config.number("rope_theta", 1_000_000.0, positive=True),
    )
    attention = shape.attention(
        scale=1.0, qkv_bias=bias, out_bias=bias, qk_norm=norm, value_norm=replace(norm, scale=False)
    )
    return [
        replace(
            attention,
            window=size,
            rotary=overall if size is None else local,
            lent=index in lenders,
            borrowed=lender,
        )
        for index, (size, lender) in enumerate(zip(windows, lenders, strict=True))
    ]


def _media(config: ConfigReader, vocab: int) -> tuple[MediaTableSpec, ...]:
    """Of tokens that stand for images and sound, where the vocabulary has some."""
    vision = _table(config, "vision_config", 2048, 262144)
    sound = _table(config, "audio_config", 1536, 262272)
    if vocab <= min(vision.first, sound.first):
        return ()
    ends = (("vision_config", vision, min(vocab, sound.first)), ("audio_config", sound, vocab))
    for key, table, end in ends:
        if end - table.first > table.vocab:
            config.problem(
                f"{key}.vocab_size={table.vocab} is less than the {end - table.first} tokens from "
                f"vocab_offset={table.first} to {end}"
            )
    return vision, sound


def _table(config: ConfigReader, key: str, size: int, first: int) -> MediaTableSpec:
    tower = config.section(key)
    tower.harmless(*config.mapping(key))
    return MediaTableSpec(
        first=tower.integer("vocab_offset", first, 0),
        vocab=tower.integer("vocab_size", 128),
        size=tower.integer("hidden_size", size),
        norm=NormSpec(NormKind.RMS, tower.number("rms_norm_eps", 1e-6)),
    )


def read_whole(config: ConfigReader) -> ModelSpec:
    """The text model of a checkpoint that reads images and sound."""
    spec = _WHOLE.read(config)
    embedding = replace(spec.decoder.embedding, media=_media(config, spec.vocab_size))
    return replace(spec, decoder=replace(spec.decoder, embedding=embedding))


NAMES = replace(
    GEMMA2_NAMES,
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
    layer_input=GEMMA4_NAMES.layer_input,
    layer_inputs=GEMMA4_NAMES.layer_inputs,
    stream=StreamNames(),
    renames=((r"^model\.language_model\.", "model."),),
    towers=TOWERS,
)


def names_of(spec: ModelSpec) -> Names:
    """A factor of features that the config switches off is stored all the same."""
    scaled = all(layer.altup and layer.altup.scaled for layer in spec.decoder.layers)
    unused = () if scaled else (r"\.altup\.correct_output_scale$",)
    return without_borrowed(replace(NAMES, unused=(*NAMES.unused, *unused)), spec)


def names_of_whole(spec: ModelSpec) -> Names:
    """Those of the text model, and of what embeds the tokens of images and sound."""
    return replace(_WHOLE.names_of(spec), media=("model.embed_vision", "model.embed_audio"))


GEMMA3N_TEXT = Family(read, names_of)
_WHOLE = Wrapped(
    "gemma3n",
    {"gemma3n_text": GEMMA3N_TEXT},
    own=True,
    keys=(
        "audio_config",
        "audio_soft_tokens_per_image",
        "audio_token_id",
        "image_token_id",
        "vision_config",
        "vision_soft_tokens_per_image",
    ),
    head=True,
    renames=(),
)
GEMMA3N = Family(read_whole, names_of_whole, harmless=_WHOLE.keys)
