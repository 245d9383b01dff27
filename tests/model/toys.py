"""Tiny random models made from a config alone, to test mechanics; parity is proven in tests/families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.families import FAMILIES, read_spec
from exporter.families.stacked import StackedWeights
from exporter.families.ties import find_tables
from exporter.families.weights import plan
from exporter.generation.step import Prompt
from exporter.model import Transformer, build_model
from exporter.weights import WeightInfo, Weights

VOCAB = 61
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "learned positions": {
        "model_type": "gpt2",
        "vocab_size": VOCAB,
        "n_positions": 64,
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 4,
    },
    "rotary": {"model_type": "llama", **SIZES},
    "window": {"model_type": "mistral", "sliding_window": 4, **SIZES},
    "alternating windows": {"model_type": "gemma2", "sliding_window": 5, "head_dim": 8, **SIZES},
    "alibi": {"model_type": "bloom", "vocab_size": VOCAB, "hidden_size": 16, "n_layer": 2, "n_head": 4},
    "latent": {
        "model_type": "minicpm3",
        **SIZES,
        "num_key_value_heads": 4,
        "kv_lora_rank": 10,
        "q_lora_rank": 12,
        "qk_nope_head_dim": 6,
        "qk_rope_head_dim": 4,
        "v_head_dim": 5,
    },
    "mixed heads": {
        "model_type": "jetmoe",
        **SIZES,
        "kv_channels": 8,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    },
}

#: The last four layers read the keys and values of others, three of them in a loop; per-layer embeddings.
BORROWED: dict[str, Any] = {
    "model_type": "gemma4_text",
    **SIZES,
    "num_hidden_layers": 7,
    "num_kv_shared_layers": 4,
    "layer_types": [
        "sliding_attention",
        "sliding_attention",
        "full_attention",
        *["sliding_attention"] * 3,
        "full_attention",
    ],
    "sliding_window": 4,
    "head_dim": 4,
    "global_head_dim": 8,
    "hidden_size_per_layer_input": 4,
    "vocab_size_per_layer_input": VOCAB,
}

#: A residual stream of several parts; the last two layers read the keys and values of another, in a loop.
PARTS: dict[str, Any] = {
    "model_type": "gemma3n_text",
    **SIZES,
    "num_hidden_layers": 5,
    "num_kv_shared_layers": 2,
    "layer_types": ["sliding_attention"] * 2 + ["full_attention"] + ["sliding_attention"] * 2,
    "sliding_window": 4,
    "head_dim": 4,
    "activation_sparsity_pattern": [0.5] * 5,
    "hidden_size_per_layer_input": 4,
    "vocab_size_per_layer_input": VOCAB,
    "altup_num_inputs": 3,
    "laurel_rank": 4,
}


def random_model(config: dict[str, Any], dtype: npt.DTypeLike = np.float32, seed: int = 0) -> Transformer:
    """A model with random weights, read as the checkpoint of ``config`` would be."""
    rng, spec = np.random.default_rng(seed), read_spec(config)
    names = FAMILIES[spec.model_type].names_for(spec)
    weights = {}
    for weight in plan(spec, names, find_tables(spec, names, {})):
        groups = [
            np.concatenate([part.convert(_random(rng, part.shape)) for part in group], axis=-1)
            for group in weight.groups
        ]
        weights[weight.target] = (np.stack(groups) if weight.stacked else groups[0]).astype(dtype)
    return build_model(spec, weights)


def stacked(model: Transformer) -> Transformer:
    """The same model with the weights of equal layers stacked."""
    return build_model(model.spec, StackedWeights(model.spec, _Held(model.weights)))


class _Held(Weights):
    def __init__(self, variables: Mapping[str, tf.Variable]) -> None:
        self._arrays = {name: variable.numpy() for name, variable in variables.items()}
        self.infos = {name: WeightInfo(array.shape, array.dtype) for name, array in self._arrays.items()}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._arrays[name].copy()


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return rng.normal(1.0 if len(shape) == 1 else 0.0, 0.3, shape).astype(np.float32)


def prompt_of(rows: list[list[int]], bucket: int) -> Prompt:
    """Left-padded prompts."""
    tokens = np.zeros([len(rows), bucket], np.int32)
    for row, ids in enumerate(rows):
        tokens[row, bucket - len(ids) :] = ids
    return Prompt(tf.constant(tokens), tf.constant([len(ids) for ids in rows]))


def uncached(model: Transformer, ids: list[int], count: int = 1) -> npt.NDArray[np.float32]:
    """float32 [count, vocab]: logits at the last ``count`` positions of a sequence read at once.

    Sequences of nearly the same length are padded alike, or each would be traced anew.
    """
    bucket = -(-len(ids) // 8) * 8
    logits, _ = model.prefill(prompt_of([ids], bucket), max_new_tokens=1, logits="all")
    return np.asarray(logits[0, -count:])
