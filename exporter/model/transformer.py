"""The transformer's decoder, driven by a ModelSpec: prefill, and extension by some tokens with a cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache as memo
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.choices import Target
from exporter.generation.step import Prompt
from exporter.model.attention import Bias, Segment
from exporter.model.bias import Sight, Text, generated_bias, past_bias, prefix_bias
from exporter.model.block import extend_layer, prefill_layer
from exporter.model.cache import Baked, KVCache, LayerPrompt, Memory
from exporter.model.embedding import embed, logits_of
from exporter.model.layers import norm, scoped
from exporter.model.rotary import Turning, position_at
from exporter.model.variables import variables
from exporter.spec import LayerSpec, ModelSpec
from exporter.targets import current_target


class Transformer(tf.Module):
    """Implements ``exporter.generation.step.StepModel``.

    Identical layers share one function of the graph, which takes the layer's weights as arguments.
    """

    def __init__(
        self,
        spec: ModelSpec,
        weights: Mapping[str, npt.NDArray[Any] | tf.Variable],
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        super().__init__(name="transformer")
        self.weights = variables(weights)
        self.dtype = tf.as_dtype(np.dtype(dtype)) if dtype is not None else _model_dtype(self.weights)
        self.spec = spec
        self.layers = _in_dtype(spec.decoder.layers, self.dtype)
        self.prefix: dict[str, tf.Variable] = {}
        self.prefix_tokens: tuple[int, ...] = ()
        self._layer_functions = memo(_layer_function)

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        return self.spec.vocab_size

    def _layer_function(self, function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """The shared function of layers that are alike; each target has its own."""
        return self._layer_functions(current_target(), function, *static)

    def bake_prefix(self, tokens: Sequence[int], values: Mapping[str, Any] | None = None) -> None:
        """Keeps keys and values of ``tokens`` as variables: every prompt has to begin with them from now on.

        ``prefill`` then skips them and reads only what follows; logits "all" are those of the columns behind
        the first ``len(tokens)``.

        Args:
          tokens: the prefix.
          values: what ``read_prefix`` gave for it, of a model with these weights; None reads it here.
        """
        self.prefix = {
            name: value
            if isinstance(value, tf.Variable)
            else tf.Variable(value, trainable=False, name=f"prefix_{name.replace('.', '_')}")
            for name, value in (self.read_prefix(tokens) if values is None else values).items()
        }
        self.prefix_tokens = tuple(tokens)

    def read_prefix(self, tokens: Sequence[int]) -> dict[str, tf.Tensor]:
        """Keys and values of ``tokens``: ``layers.0.keys`` and so on."""
        prompt = Prompt(tf.constant([list(tokens)], tf.int32), tf.constant([len(tokens)]))

        @tf.function(autograph=False, jit_compile=True)
        def read() -> tuple[LayerPrompt, ...]:
            return self.prefill(prompt, max_new_tokens=1)[1].prompts

        return {
            f"layers.{index}.{name}": value
            for index, parts in enumerate(read())
            for name, value in parts._asdict().items()
        }

    def _baked(self) -> Baked:
        layers = [
            LayerPrompt(
                *(tf.convert_to_tensor(self.prefix[f"layers.{i}.{name}"]) for name in LayerPrompt._fields)
            )
            for i in range(len(self.layers) if self.prefix else 0)
        ]
        return Baked(len(self.prefix_tokens), tuple(layers))

    def prefill(
        self, prompt: Prompt, *, max_new_tokens: int, logits: Literal["last", "all"] = "last"
    ) -> tuple[tf.Tensor, KVCache]:
        """Reads left-padded prompts; see ``StepModel.prefill``."""
        weights, layers, baked = self._read(), self.layers, self._baked()
        prompt = _behind(prompt, baked.length)
        length = tf.shape(prompt.tokens)[1]
        offsets = tf.range(length) - (length - prompt.lengths[:, tf.newaxis])  # [batch, length]
        positions = tf.maximum(offsets, 0) + baked.length
        x = self._embed(weights, tf.where(offsets >= 0, prompt.tokens, 0), positions, offsets >= 0)
        seen = prompt.lengths[:, tf.newaxis] + baked.length
        place = memo(lambda turning: position_at(turning, positions, seen))
        front = baked.layers or [None] * len(layers)
        memory = self._read_source(weights, prompt)
        read = memory.segments(1) if memory else [None] * len(layers)
        prompts = []
        for index, layer in enumerate(layers):
            last_only = logits == "last" and index == len(layers) - 1
            call = self._layer_function(prefill_layer, layer, baked.length, last_only)
            table = relative_table(weights, Sight.of(layer.attention, index))
            x, keys, values = call(
                scoped(weights, f"layers.{index}."),
                x,
                place(Turning.of(layer.attention)),
                Text(prompt.lengths, length, table),
                read[index],
                front[index],
            )
            prompts.append(LayerPrompt(keys, values))
        windows = tuple(layer.attention.window for layer in layers)
        held = KVCache.of_prompt(
            tuple(prompts), windows, prompt.lengths, length, max_new_tokens, memory, baked
        )
        output = self._logits(weights, x)
        return (output[:, -1] if logits == "last" else output), held

    def extend(self, tokens: tf.Tensor, cache: KVCache) -> tuple[tf.Tensor, KVCache]:
        """Appends int32 [rows, k] tokens, k static; see ``StepModel.extend``."""
        weights, state, k = self._read(), cache.state, tokens.shape[1]
        cache.check_step(k)
        positions = cache.row_lengths()[:, tf.newaxis] + tf.range(k)  # [rows, k]
        x = self._embed(weights, tokens, positions)
        place = memo(lambda turning: position_at(turning, positions, positions + 1))
        biases: dict[Sight, tuple[Bias, Bias]] = {}
        layers = self.layers
        read = cache.memory.segments(cache.copies) if cache.memory else [None] * len(layers)
        front = _prefix_segments(cache.baked, layers, positions)
        keys, values = [], []
        for index, layer in enumerate(layers):
            call = self._layer_function(extend_layer, layer, cache.copies, cache.sharing, cache.wraps(index))
            sight = Sight.of(layer.attention, index)
            if sight not in biases:
                biases[sight] = _biases(cache, positions, k, sight, index, relative_table(weights, sight))
            past, generated = biases[sight]
            key, value = cache.prompts[index]
            x, new_keys, new_values = call(
                scoped(weights, f"layers.{index}."),
                x,
                place(Turning.of(layer.attention)),
                Segment(key, value, past),
                Segment(state.keys[index], state.values[index], generated),
                read[index],
                front[index],
                state.count,
            )
            keys.append(new_keys)
            values.append(new_values)
        new_state = state._replace(count=state.count + k, keys=tuple(keys), values=tuple(values))
        return self._logits(weights, x), cache.with_state(new_state)

    def _read_source(self, weights: Mapping[str, tf.Tensor], prompt: Prompt) -> Memory | None:
        """What the decoder's layers attend to besides the prompt: nothing here."""
        return None

    def _embed(
        self,
        weights: Mapping[str, tf.Tensor],
        tokens: tf.Tensor,
        positions: tf.Tensor,
        prompt: tf.Tensor | None = None,
    ) -> tf.Tensor:
        by_column = self.shares_head(weights)
        return embed(
            self.spec.decoder.embedding,
            weights,
            tokens,
            positions,
            prompt=prompt,
            start=len(self.prefix_tokens),
            by_column=by_column,
            dtype=self.dtype,
        )

    @staticmethod
    def shares_head(weights: Mapping[str, tf.Tensor]) -> bool:
        """Whether the token table is the output head too, and so laid out for that."""
        return "head.kernel" not in weights

    def _logits(self, weights: Mapping[str, tf.Tensor], x: tf.Tensor) -> tf.Tensor:
        x = norm(x, weights, "final_norm", self.spec.decoder.final_norm)
        return logits_of(self.spec, weights, x)

    def _read(self) -> dict[str, tf.Tensor]:
        return {name: tf.convert_to_tensor(variable) for name, variable in self.weights.items()}


def _model_dtype(weights: Mapping[str, tf.Variable]) -> tf.DType:
    """The narrowest of the weights' floating types: single ones stay in float32."""
    dtypes = {variable.dtype for variable in weights.values()}
    return min((dtype for dtype in dtypes if dtype.is_floating), key=lambda dtype: dtype.size)


def _in_dtype(layers: Sequence[LayerSpec], dtype: tf.DType) -> tuple[LayerSpec, ...]:
    """``layers`` with the name of the model's dtype where something is rounded to that."""

    def layer(layer: LayerSpec) -> LayerSpec:
        alibi = layer.attention.alibi
        if alibi is None or alibi.rounded != "model":
            return layer
        attention = replace(layer.attention, alibi=replace(alibi, rounded=dtype.name))
        return replace(layer, attention=attention)

    return tuple(layer(each) for each in layers)


def _layer_function(target: Target, function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """``function`` with its static arguments; in a graph, one traced function for all that share them."""
    bound = partial(function, *static)
    traced = tf.function(bound, autograph=False)
    return lambda *args: bound(*args) if tf.executing_eagerly() else traced(*args)


def _behind(prompt: Prompt, count: int) -> Prompt:
    """The prompts without their first ``count`` tokens: a row's last tokens keep their columns."""
    if not count:
        return prompt
    return prompt._replace(tokens=prompt.tokens[:, count:], lengths=prompt.lengths - count)


def _prefix_segments(
    baked: Baked, layers: Sequence[LayerSpec], positions: tf.Tensor
) -> Sequence[Segment | None]:
    """Each layer's part of the baked prefix, as tokens at ``positions`` (int32 [rows, k]) see it."""
    if not baked.layers:
        return [None] * len(layers)
    bias = memo(lambda sight, kept: prefix_bias(sight, baked.length - kept, positions, tf.range(kept)))
    return [
        Segment(keys, values, bias(Sight.of(layer.attention, index), keys.shape[1]))
        for index, (layer, (keys, values)) in enumerate(zip(layers, baked.layers, strict=True))
    ]


def _biases(
    cache: KVCache, positions: tf.Tensor, k: int, sight: Sight, layer: int, table: tf.Tensor | None
) -> tuple[Bias, Bias]:
    """Biases of a step over the prompt and over the generated tokens, for layers of one sight."""
    lengths, start = cache.prompt_lengths(), cache.baked.length
    kept = tf.shape(cache.prompts[layer].keys)[1]
    query = tf.reshape(cache.state.count, [-1, 1]) + tf.range(k)
    past = past_bias(sight, lengths, cache.prompt_length, kept, positions, table, start)
    tokens, owned = cache.slot_tokens(layer, k), cache.owned(layer, k)
    return past, generated_bias(sight, start + lengths, tokens, query, table, owned)


def relative_table(weights: Mapping[str, tf.Tensor], sight: Sight) -> tf.Tensor | None:
    """The table of relative biases that layers of one sight share."""
    return weights[f"relative.{sight.table}"] if sight.relative else None
