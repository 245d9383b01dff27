"""Configs that the reference reads into its Llama class: EXAONE 3, InternLM 3 and IQuest Coder."""

from __future__ import annotations

from dataclasses import replace

from exporter.families import llama
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.spec import ModelSpec


def read_exaone(config: ConfigReader) -> ModelSpec:
    """EXAONE 3.0 and 3.5, which name their sizes and weights otherwise."""
    return llama.read(
        config,
        "exaone",
        epsilon=1e-5,
        theta=500_000.0,
        vocab=102400,
        width=14336,
        kv_heads=8,
        max_length=4096,
    )


def read_internlm3(config: ConfigReader) -> ModelSpec:
    """InternLM 3; one switch is of all biases."""
    spec = llama.read(
        config,
        "internlm3",
        epsilon=1e-5,
        vocab=128512,
        width=10240,
        layers=48,
        kv_heads=2,
        head_dim=128,
        max_length=32768,
    )
    bias = config.flag("mlp_bias", False)
    if config.flag("attention_bias", False) != bias:
        config.problem(
            f"qkv_bias must be as bias={bias}: the reference has no biases of query, key and value alone"
        )
    return spec


def read_iquestcoder(config: ConfigReader) -> ModelSpec:
    """IQuest Coder V1; what its own code could do besides, the reference refuses too."""
    config.expect("clip_qkv", None, why="the reference's class does not clip")
    config.expect("use_sliding_window", False, None, why="the reference's class has no windows")
    return llama.read(
        config,
        "iquestcoder",
        epsilon=1e-5,
        vocab=76800,
        hidden=5120,
        width=27648,
        layers=80,
        heads=40,
        kv_heads=8,
        head_dim=128,
        max_length=131072,
    )


EXAONE = Family(
    read_exaone,
    replace(
        LLAMA_NAMES,
        renames=(
            (r"^transformer\.wte\.", "model.embed_tokens."),
            (r"^transformer\.h\.", "model.layers."),
            (r"^transformer\.ln_f\.", "model.norm."),
            (r"\.attn\.attention\.", ".self_attn."),
            (r"\.self_attn\.out_proj\.", ".self_attn.o_proj."),
            (r"\.ln_1\.", ".input_layernorm."),
            (r"\.ln_2\.", ".post_attention_layernorm."),
            (r"\.mlp\.c_fc_0\.", ".mlp.gate_proj."),
            (r"\.mlp\.c_fc_1\.", ".mlp.up_proj."),
            (r"\.mlp\.c_proj\.", ".mlp.down_proj."),
        ),
    ),
    aliases={
        "num_layers": "num_hidden_layers",
        "layer_norm_epsilon": "rms_norm_eps",
        "activation_function": "hidden_act",
    },
)
INTERNLM3 = Family(read_internlm3, LLAMA_NAMES, aliases={"qkv_bias": "attention_bias", "bias": "mlp_bias"})
IQUESTCODER = Family(read_iquestcoder, LLAMA_NAMES)
