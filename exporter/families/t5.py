"""T5 (Raffel et al. 2020), T5 v1.1, Flan-T5, ByT5, mT5 (Xue et al. 2021) and umT5 (Chung et al. 2023)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.spec import (
    Activation,
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    RelativeSpec,
    StackSpec,
)


def read(config: ConfigReader, *, mt5: bool = False, umt5: bool = False) -> ModelSpec:
    """Pre-norm stacks with relative buckets, no biases and unscaled attention; ``mt5`` also for umt5."""
    model_type = "umt5" if umt5 else "mt5" if mt5 else "t5"
    hidden = config.integer("d_model", 512)
    norm = NormSpec(NormKind.RMS, config.number("layer_norm_epsilon", 1e-6), round_first=True)
    heads, size = config.integer("num_heads", 6 if mt5 else 8), config.integer("d_kv", 64)
    attention = AttentionSpec(heads, heads, size, scale=1.0)
    mlp = _feed_forward(config, config.integer("d_ff", 1024 if mt5 else 2048), mt5)
    buckets = config.integer("relative_attention_num_buckets", 32, minimum=4)
    distance = config.integer("relative_attention_max_distance", 128)
    if distance <= buckets // 2:
        config.problem(
            f"relative_attention_max_distance={distance} must be above half of "
            f"relative_attention_num_buckets={buckets}"
        )
    layers = config.integer("num_layers", 8 if mt5 else 6)
    decoder_layers = config.optional_integer("num_decoder_layers") or layers

    def layer(*, bidirectional: bool) -> LayerSpec:
        relative = RelativeSpec(buckets, distance, bidirectional, per_layer=umt5)
        return LayerSpec(replace(attention, relative=relative), mlp, attention_norm=norm, mlp_norm=norm)

    decoder = replace(layer(bidirectional=False), cross_attention=attention, cross_norm=norm)
    embedding = EmbeddingSpec(hidden)
    return ModelSpec(
        model_type=model_type,
        vocab_size=config.integer("vocab_size", 250112 if mt5 else 32128),
        hidden_size=hidden,
        decoder=StackSpec(embedding, (decoder,) * decoder_layers, norm),
        # Tied whatever tie_word_embeddings says, unless the checkpoint has a head of its own.
        head=HeadSpec(tied=True, input_scale=hidden**-0.5 if _scaled(config, model_type) else 1.0),
        context_length=None,
        kind="encoder_decoder",
        encoder=StackSpec(embedding, (layer(bidirectional=True),) * layers, norm),
    )


def _feed_forward(config: ConfigReader, width: int, mt5: bool) -> MlpSpec:
    """``feed_forward_proj``: an activation, or "gated-" and one; "gated-gelu" means the tanh form."""
    kinds = {**ACTIVATIONS, **{f"gated-{name}": kind for name, kind in ACTIVATIONS.items()}}
    kinds["gated-gelu"] = Activation.GELU_TANH
    default = "gated-gelu" if mt5 else "relu"
    activation = config.choice("feed_forward_proj", kinds, default)
    gated = str(config.raw("feed_forward_proj", default)).startswith("gated-")
    if config.has("dense_act_fn"):
        activation = config.choice("dense_act_fn", ACTIVATIONS, "relu")
    return MlpSpec(width, activation, gated=config.flag("is_gated_act", gated), wide_down=True)


def _scaled(config: ConfigReader, model_type: str) -> bool:
    """Whether logits are scaled by hidden ** -0.5: T5 and umT5 unless untied, mT5 never."""
    tied = config.flag("tie_word_embeddings", True)
    return model_type != "mt5" and config.flag("scale_decoder_outputs", tied, null=False)


def names(spec: ModelSpec) -> Names:
    """Weight names; a gated block has three projections."""
    mlp = spec.decoder.layers[0].mlp
    gated = isinstance(mlp, MlpSpec) and mlp.gated

    def stack(side: str, block: int) -> Names:
        attention, dense = "layer.0.SelfAttention.", f"layer.{block}.DenseReluDense."
        cross = "layer.1.EncDecAttention."
        return Names(
            prefix="",
            base="transformer",
            tokens=f"{side}.embed_tokens",
            layer=f"{side}.block.{{i}}.",
            attention_norm="layer.0.layer_norm",
            qkv=(f"{attention}q", f"{attention}k", f"{attention}v"),
            out=f"{attention}o",
            relative=f"{attention}relative_attention_bias",
            cross=(f"{cross}q", f"{cross}k", f"{cross}v"),
            cross_out=f"{cross}o",
            cross_norm="layer.1.layer_norm",
            mlp_norm=f"layer.{block}.layer_norm",
            gate=f"{dense}wi_0" if gated else "",
            up=f"{dense}wi_1" if gated else f"{dense}wi",
            down=f"{dense}wo",
            final_norm=f"{side}.final_layer_norm",
            common="shared",
            unused=(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$",),
        )

    return replace(stack("decoder", 2), encoder=stack("encoder", 1))


T5 = Family(
    read,
    names,
    harmless=("dropout_rate",),
    aliases={
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    },
    encoder_decoder=True,
)
MT5 = replace(T5, read=partial(read, mt5=True))
UMT5 = replace(T5, read=partial(read, mt5=True, umt5=True))
