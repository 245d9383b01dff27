"""GPT (Radford et al. 2018)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.gpt2 import DROPOUTS, GPT2_KEYS, GPT2_NAMES
from exporter.families.names import Linear
from exporter.families.reader import ConfigReader
from exporter.families.shape import layer_norm, read_shape, tied
from exporter.spec import Activation, Block, HeadSpec, LayerSpec, MlpSpec, ModelSpec

# The reference's ACT_FNS for this class: its gelu is the approximated one.
AFN = {name: ACTIVATIONS[name] for name in ("relu", "silu", "swish")} | {"gelu": Activation.GELU_TANH}
KEYS = replace(GPT2_KEYS, width="")


def read(config: ConfigReader) -> ModelSpec:
    """A transformer with norms behind the branches and learned positions."""
    shape = read_shape(config, KEYS, vocab=40478, hidden=768, layers=12, heads=12, max_length=512)
    norm = layer_norm(config, "layer_norm_epsilon")
    mlp = MlpSpec(shape.width, config.choice("afn", AFN, "gelu"), up_bias=True, down_bias=True)
    attention = shape.attention(qkv_bias=True, out_bias=True)
    layer = LayerSpec(attention, mlp, Block.POST_NORM, attention_norm=norm, mlp_norm=norm)
    head = HeadSpec(tied(config, True))
    return shape.model("openai-gpt", [layer] * shape.layers, None, head, shape.table(), hard=True)


OPENAI_GPT = Family(
    read,
    replace(
        GPT2_NAMES,
        tokens="tokens_embed",
        positions="positions_embed",
        final_norm="",
        linear=Linear.IN_OUT,
        unused=(r"\.attn\.bias$",),
    ),
    DROPOUTS,
    KEYS.aliases,
)
