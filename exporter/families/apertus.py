"""Apertus (Swiss AI 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.nemotron import PLAIN_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import flat_parameters, rotary
from exporter.families.shape import read_shape, rms_norm, tied
from exporter.spec import Activation, HeadSpec, LayerSpec, MlpSpec, ModelSpec

DEFAULT_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 12_000_000.0,
    "factor": 8.0,
    "original_max_position_embeddings": 8192,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}


def read(config: ConfigReader, model_type: str = "apertus", vocab: int = 131072) -> ModelSpec:
    """Llama's plan with query and key norms and plain blocks whose activation is learned (xIELU)."""
    shape = read_shape(config, vocab=vocab, hidden=4096, width=14336, layers=32, heads=32, max_length=65536)
    norm, bias = rms_norm(config, 1e-5), config.flag("attention_bias", False)
    theta, parameters = (
        config.number("rope_theta", 12_000_000.0, positive=True),
        flat_parameters(config, DEFAULT_ROPE),
    )
    attention = shape.attention(
        rotary=rotary(config, parameters, shape.head_dim, shape.max_length, theta=theta),
        qk_norm=norm,
        qkv_bias=bias,
        out_bias=bias,
    )
    activation = config.choice("hidden_act", {**ACTIVATIONS, "xielu": Activation.XIELU}, "xielu")
    layer = LayerSpec(attention, MlpSpec(shape.width, activation), attention_norm=norm, mlp_norm=norm)
    return shape.model(model_type, [layer] * shape.layers, norm, HeadSpec(tied(config)))


def read_1p5(config: ConfigReader) -> ModelSpec:
    """The text model of Apertus 1.5."""
    spec = read(config, "apertus1p5_text", 266752)
    config.expect(
        "output_vocab_size",
        None,
        spec.vocab_size,
        why="a head that is narrower than the vocabulary is not built",
    )
    return spec


NAMES = replace(
    PLAIN_NAMES,
    attention_norm="attention_layernorm",
    mlp_norm="feedforward_layernorm",
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
    activation="mlp.act_fn",
)
APERTUS = Family(read, NAMES)
APERTUS1P5_TEXT = Family(read_1p5, replace(NAMES, renames=((r"^model\.language_model\.", "model."),)))
