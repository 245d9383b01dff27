"""RWKV 4 (Peng et al. 2023): no attention, and two branches that each look back."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.names import Names, StateNames
from exporter.families.reader import ConfigReader
from exporter.families.shape import layer_norm, tied
from exporter.spec import (
    ChannelMixSpec,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    StackSpec,
    WkvSpec,
)


def read(config: ConfigReader) -> ModelSpec:
    """Layers of a time mix and a channel mix.

    Every ``rescale_every`` layers the reference halves the residual stream, and the weights of what is added
    to it from there on. That keeps float16 from its largest number; as norms have an epsilon, it is felt in
    every dtype.
    """
    hidden, count = config.integer("hidden_size", 4096), config.integer("num_hidden_layers", 32)
    norm = layer_norm(config, "layer_norm_epsilon")
    layer = LayerSpec(
        state=WkvSpec(hidden, config.optional_integer("attention_hidden_size") or hidden),
        mlp=ChannelMixSpec(config.optional_integer("intermediate_size") or 4 * hidden),
        attention_norm=norm,
        mlp_norm=norm,
    )
    every = config.integer("rescale_every", 6, minimum=-(2**31))
    layers = tuple(replace(layer, halved=every > 0 and index % every == 0) for index in range(1, count + 1))
    return ModelSpec(
        model_type="rwkv",
        vocab_size=config.integer("vocab_size", 50277),
        hidden_size=hidden,
        # The reference gives its last norm no epsilon of the config's.
        decoder=StackSpec(
            EmbeddingSpec(hidden, norm=norm), layers, NormSpec(NormKind.LAYER, 1e-5, bias=True)
        ),
        head=HeadSpec(tied(config)),
        context_length=config.integer("context_length", 1024),
    )


TIME, CHANNEL = "attention.", "feed_forward."
RWKV = Family(
    read,
    Names(
        prefix="rwkv.",
        tokens="embeddings",
        embedding_norm="blocks.0.pre_ln",
        layer="blocks.{i}.",
        attention_norm="ln1",
        mlp_norm="ln2",
        qkv=(),
        out="",
        gate=f"{CHANNEL}receptance",
        up=f"{CHANNEL}key",
        down=f"{CHANNEL}value",
        final_norm="ln_out",
        head="head",
        state=StateNames(
            inputs=(f"{TIME}key", f"{TIME}value", f"{TIME}receptance"),
            decay=f"{TIME}time_decay",
            bonus=f"{TIME}time_first",
            mix=(
                *(f"{TIME}time_mix_{name}" for name in ("key", "value", "receptance")),
                *(f"{CHANNEL}time_mix_{name}" for name in ("key", "receptance")),
            ),
            out=f"{TIME}output",
        ),
    ),
    aliases={"max_position_embeddings": "context_length"},
)
