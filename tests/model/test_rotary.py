"""Rotary tables against the reference's own module, with real checkpoints' parameters, at far positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.families import read_spec
from exporter.model.rotary import angles

SIZES = {"hidden_size": 512, "num_attention_heads": 4, "head_dim": 128, "max_position_embeddings": 4096}
SCALINGS: dict[str, dict[str, Any]] = {
    "Llama 2": {},
    "Llama 3": {"rope_theta": 500000.0},
    "Llama 3.1": {
        "rope_theta": 500000.0,
        "max_position_embeddings": 131072,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    },
    "Qwen2.5 with YaRN": {
        "rope_theta": 1000000.0,
        "max_position_embeddings": 131072,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
    },
    "linear": {"rope_scaling": {"type": "linear", "factor": 8.0}},
    "dynamic": {"rope_scaling": {"type": "dynamic", "factor": 4.0}},
    "longrope": {
        "max_position_embeddings": 131072,
        "rope_scaling": {
            "type": "longrope",
            "short_factor": [1.0 + 0.02 * index for index in range(64)],
            "long_factor": [1.5 + 0.9 * index for index in range(64)],
            "original_max_position_embeddings": 4096,
        },
    },
}


@pytest.mark.parity
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", list(SCALINGS))
def test_angles(name: str, compiled: bool) -> None:
    import torch
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = {**SIZES, **SCALINGS[name]}
    rotary = read_spec({"model_type": "llama", **config}).decoder.layers[0].attention.rotary
    assert rotary is not None

    @tf.function(jit_compile=compiled, autograph=False)
    def ours(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return angles(rotary, positions, positions + 1)

    positions = [0, 1, 999, 4094, 4095, 4096, 32767, 131071]
    cosines, sines = ours(tf.constant([positions]))
    for index, position in enumerate(positions):
        # A fresh module each: the dynamic kinds remember the longest sequence they have seen.
        reference = LlamaRotaryEmbedding(LlamaConfig(**config))
        cosine, sine = reference(torch.zeros(1), torch.tensor([[position]]))
        # The dynamic kind's base is itself a rounded power; one unit in its last place counts
        # once a position.
        bound = 3e-6 + (position * 1e-7 if name == "dynamic" else 0.0)
        np.testing.assert_allclose(cosines[0, index], cosine[0, 0, :64], atol=bound, rtol=0)
        np.testing.assert_allclose(sines[0, index], sine[0, 0, :64], atol=bound, rtol=0)
