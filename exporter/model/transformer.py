"""The decoder-only transformer, driven by a ModelSpec: prefill, and extension by some tokens with a cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache as memo
from functools import partial
from typing import Any, Literal

import numpy.typing as npt
import tensorflow as tf

from exporter.generation.step import Prompt
from exporter.model.attention import Segment
from exporter.model.bias import Sight, generated_bias, past_bias, prompt_bias
from exporter.model.block import extend_layer, prefill_layer
from exporter.model.cache import CacheState, KVCache, LayerPrompt
from exporter.model.embedding import embed, logits_of
from exporter.model.layers import norm, scoped
from exporter.model.rotary import Turning, position_at
from exporter.spec import ModelSpec


def build_model(spec: ModelSpec, weights: Mapping[str, npt.NDArray[Any]]) -> Transformer:
    """A ``StepModel`` whose variables hold ``weights`` (names and layout: ``exporter.families.weights``)."""
    return Transformer(spec, weights)


class Transformer(tf.Module):
    """Implements ``exporter.generation.step.StepModel``.

    Identical layers share one function of the graph, which takes the layer's weights as arguments.
    """

    def __init__(self, spec: ModelSpec, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        super().__init__(name="transformer")
        self.spec = spec
        self.weights = {
            name: tf.Variable(value, trainable=False, name=name.replace(".", "_"))
            for name, value in weights.items()
        }
        self._layer_function = memo(_layer_function)

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        return self.spec.vocab_size

    def prefill(
        self, prompt: Prompt, *, max_new_tokens: int, logits: Literal["last", "all"] = "last"
    ) -> tuple[tf.Tensor, KVCache]:
        """Reads left-padded prompts; see ``StepModel.prefill``."""
        weights, layers = self._read(), self.spec.decoder.layers
        length = tf.shape(prompt.tokens)[1]
        offsets = tf.range(length) - (length - prompt.lengths[:, tf.newaxis])  # [batch, length]
        positions = tf.maximum(offsets, 0)
        x = embed(self.spec, weights, tf.where(offsets >= 0, prompt.tokens, 0), positions)
        place = memo(lambda turning: position_at(turning, positions, prompt.lengths[:, tf.newaxis]))
        bias = memo(lambda sight: prompt_bias(sight, prompt.lengths, length))
        prompts = []
        for index, layer in enumerate(layers):
            last_only = logits == "last" and index == len(layers) - 1
            call = self._layer_function(prefill_layer, layer, last_only)
            x, keys, values = call(
                scoped(weights, f"layers.{index}."),
                x,
                place(Turning.of(layer.attention)),
                bias(Sight.of(layer.attention)),
            )
            prompts.append(LayerPrompt(keys, values))
        windows = tuple(layer.attention.window for layer in layers)
        held = KVCache.of_prompt(tuple(prompts), windows, prompt.lengths, length, max_new_tokens)
        output = self._logits(weights, x)
        return (output[:, -1] if logits == "last" else output), held

    def extend(self, tokens: tf.Tensor, cache: KVCache) -> tuple[tf.Tensor, KVCache]:
        """Appends int32 [rows, k] tokens, k static; see ``StepModel.extend``."""
        weights, state, k = self._read(), cache.state, tokens.shape[1]
        cache.check_step(k)
        positions = cache.row_lengths()[:, tf.newaxis] + tf.range(k)  # [rows, k]
        x = embed(self.spec, weights, tokens, positions)
        place = memo(lambda turning: position_at(turning, positions, positions + 1))
        biases: dict[Sight, tuple[tf.Tensor, tf.Tensor]] = {}
        keys, values = [], []
        for index, layer in enumerate(self.spec.decoder.layers):
            call = self._layer_function(extend_layer, layer, cache.copies, cache.wraps(index))
            sight = Sight.of(layer.attention)
            if sight not in biases:
                biases[sight] = _biases(cache, positions, k, sight, index)
            past, generated = biases[sight]
            key, value = cache.prompts[index]
            x, new_keys, new_values = call(
                scoped(weights, f"layers.{index}."),
                x,
                place(Turning.of(layer.attention)),
                Segment(key, value, past),
                Segment(state.keys[index], state.values[index], generated),
                state.count,
            )
            keys.append(new_keys)
            values.append(new_values)
        new_state = CacheState(state.count + k, tuple(keys), tuple(values))
        return self._logits(weights, x), cache.with_state(new_state)

    def _logits(self, weights: Mapping[str, tf.Tensor], x: tf.Tensor) -> tf.Tensor:
        x = norm(x, weights, "final_norm", self.spec.decoder.final_norm)
        return logits_of(self.spec, weights, x)

    def _read(self) -> dict[str, tf.Tensor]:
        return {name: tf.convert_to_tensor(variable) for name, variable in self.weights.items()}


def _layer_function(function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """``function`` with its static arguments; in a graph, one traced function for all that share them."""
    bound = partial(function, *static)
    traced = tf.function(bound, autograph=False)
    return lambda *args: bound(*args) if tf.executing_eagerly() else traced(*args)


def _biases(
    cache: KVCache, positions: tf.Tensor, k: int, sight: Sight, layer: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Biases of a step over the prompt and over the generated tokens, for layers of one sight."""
    lengths = cache.prompt_lengths()
    kept = tf.shape(cache.prompts[layer].keys)[1]
    query = tf.reshape(cache.state.count, [-1, 1]) + tf.range(k)
    past = past_bias(sight, lengths, cache.prompt_length, kept, positions)
    return past, generated_bias(sight, lengths, cache.slot_tokens(layer, k), query)
