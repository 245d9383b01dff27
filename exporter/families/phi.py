"""Phi 1 to 2 (parallel branches, partial rotary) and Phi 3 (Llama's plan with fused projections)."""

from __future__ import annotations

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, layer_norm, read_shape, rms_norm, tied
from exporter.families.weights import Names
from exporter.spec import Block, HeadSpec, LayerSpec, MlpSpec, ModelSpec


def read_phi(config: ConfigReader) -> ModelSpec:
    """Phi (Gunasekar et al. 2023)."""
    shape = read_shape(config, vocab=51200, hidden=2048, width=8192, layers=24, heads=32, max_length=2048)
    norm = layer_norm(config)
    attention = shape.attention(
        rotary=read_rotary(config, shape.head_dim, shape.max_length, partial=0.5),
        qk_norm=norm if config.flag("qk_layernorm", False) else None,
        qkv_bias=True,
        out_bias=True,
    )
    activation = config.choice("hidden_act", ACTIVATIONS, "gelu_new")
    mlp = MlpSpec(shape.width, activation, up_bias=True, down_bias=True)
    layer = LayerSpec(attention, mlp, Block.PARALLEL, attention_norm=norm)
    return shape.model("phi", [layer] * shape.layers, norm, HeadSpec(tied(config), bias=True))


def read_phi3(config: ConfigReader) -> ModelSpec:
    """Phi 3 and 4 mini (Abdin et al. 2024)."""
    shape = read_shape(config, vocab=32064, hidden=3072, width=8192, layers=32, heads=32, max_length=4096)
    norm = rms_norm(config, 1e-5)
    for key in ("attention_bias", "mlp_bias", "lm_head_bias"):
        config.expect(key, False, why="the reference's Phi 3 has no biases")
    config.expect("full_attn_mod", 1, why="the reference treats all layers alike")
    config.expect("interpolate_factor", 1, why="the reference does not interpolate")
    attention = shape.attention(
        rotary=read_rotary(
            config,
            shape.head_dim,
            shape.max_length,
            partial=1.0,
            original_length=4096,
            also_longrope=("su", "yarn"),
        ),
        window=config.optional_integer("sliding_window"),
    )
    layer = LayerSpec(attention, gated_mlp(config, shape.width), attention_norm=norm, mlp_norm=norm)
    return shape.model("phi3", [layer] * shape.layers, norm, HeadSpec(tied(config)))


PHI = Family(
    read_phi,
    Names(
        prefixes=("model.", ""),
        tokens="embed_tokens",
        layer="layers.{i}.",
        attention_norm="input_layernorm",
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        q_norm="self_attn.q_layernorm",
        k_norm="self_attn.k_layernorm",
        out="self_attn.dense",
        up="mlp.fc1",
        down="mlp.fc2",
        final_norm="final_layernorm",
        unused=(r"\.rotary_emb\.inv_freq$",),
    ),
    harmless=("embd_pdrop", "resid_pdrop"),
)
PHI3 = Family(
    read_phi3,
    Names(
        prefixes=("model.", ""),
        tokens="embed_tokens",
        layer="layers.{i}.",
        attention_norm="input_layernorm",
        qkv=("self_attn.qkv_proj",),
        out="self_attn.o_proj",
        mlp_norm="post_attention_layernorm",
        up="mlp.gate_up_proj",
        down="mlp.down_proj",
        final_norm="norm",
        unused=LLAMA_NAMES.unused,
    ),
)
