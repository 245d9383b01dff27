"""The transformer's decoder, driven by a ModelSpec: prefill, and extension by some tokens with a cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache as memo
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.choices import Target
from exporter.generation.step import Prompt
from exporter.model.altup import merged, spread
from exporter.model.bias import Sight, Text
from exporter.model.block import extend_layer, prefill_layer
from exporter.model.cache import NOTHING_BAKED, Baked, KVCache, LayerPrompt, Memory
from exporter.model.embedding import embed, layer_inputs, logits_of
from exporter.model.layers import norm
from exporter.model.reading import (
    lender_of,
    prefix_segments,
    relative_table,
    step_biases,
    step_segments,
    turned_at,
)
from exporter.model.runs import Entry, Place, Turns, entry_of, put, run_turns, taken, turns_of
from exporter.model.state import STACK_AXIS, State, empty_state
from exporter.model.variables import graph_name, variables
from exporter.spec import LayerSpec, ModelSpec
from exporter.targets import current_target

#: Of a baked prefix, beside keys and values: what its last token's layers made.
_LAST_STATE = "last_state"


Part = TypeVar("Part", LayerPrompt, State)


class Transformer(tf.Module):
    """Implements ``exporter.generation.step.PromptModel``.

    Identical layers share one function of the graph, which takes the layer's weights as arguments; those
    whose weights are stacked (``exporter.stacks``) run as one loop.
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
        self.runs = turns_of(self.layers, self.weights)
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
        """Keeps what the layers make of ``tokens`` as variables: every prompt has to begin with them now.

        (``Unbaked`` reads others.) ``prefill`` then skips them and reads only what follows; logits "all" are
        those of the columns behind the first ``len(tokens)``.

        Args:
          tokens: the prefix.
          values: what ``read_prefix`` gave for it, of a model with these weights; None reads it here.
        """
        self.prefix = {
            name: value
            if isinstance(value, tf.Variable)
            else tf.Variable(value, trainable=False, name=f"prefix_{graph_name(name)}")
            for name, value in (self.read_prefix(tokens) if values is None else values).items()
        }
        self.prefix_tokens = tuple(tokens)

    def read_prefix(self, tokens: Sequence[int]) -> dict[str, tf.Tensor]:
        """Keys, values and states of ``tokens``: ``layers.0.keys`` and so on, stacked as the weights are.

        And ``last_state`` [1, 1, hidden], which the token behind them is predicted from.
        """
        prompt = Prompt(tf.constant([list(tokens)], tf.int32), tf.constant([len(tokens)]))

        @tf.function(autograph=False, jit_compile=True)
        def read() -> tuple[tf.Tensor, tuple[Any, ...]]:
            state, cache = self._read_prompts(prompt, max_new_tokens=1, last_only=True)
            parts = zip(cache.prompts, cache.state.states, strict=True)
            return state[:, -1:], tuple(_named(*part) for part in parts)

        last, layers = read()
        found = {
            f"{place.name}{name}": value
            for place, parts in zip(self._places(), layers, strict=True)
            for name, value in parts.items()
        }
        return {_LAST_STATE: last, **found}

    def _places(self) -> list[Place]:
        return [place for run in self.runs for place in run.places]

    def _baked(self, asked: bool) -> Baked:
        if not asked:
            return NOTHING_BAKED
        places = self._places() if self.prefix else []
        layers = tuple(self._baked_part(place, LayerPrompt) for place in places)
        states = tuple(self._baked_part(place, State) for place in places)
        return Baked(len(self.prefix_tokens), layers, states)

    def _baked_part(self, place: Place, kind: type[Part]) -> Part | None:
        """Of the baked prefix, what a layer has of this kind; None where it has nothing."""
        names = {field: f"{place.name}{field}" for field in kind._fields}
        found = {
            field: tf.convert_to_tensor(self.prefix[name]) if name in self.prefix else ()
            for field, name in names.items()
        }
        return kind(**found) if any(map(tf.is_tensor, found.values())) else None

    def prefill(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        logits: Literal["last", "all"] = "last",
        behind_prefix: bool = True,
    ) -> tuple[tf.Tensor, KVCache]:
        """Reads left-padded prompts; see ``StepModel.prefill``. ``behind_prefix``: they begin as baked."""
        x, held = self._read_prompts(
            prompt, max_new_tokens, last_only=logits == "last", behind_prefix=behind_prefix
        )
        output = self.logits_of(x)
        return (output[:, -1] if logits == "last" else output), held

    def states_before(self, prompt: Prompt, *, behind_prefix: bool = True) -> tf.Tensor:
        """What each token is predicted from; see ``PromptModel.states_before``, and ``prefill``."""
        x, _ = self._read_prompts(prompt, max_new_tokens=1, last_only=False, behind_prefix=behind_prefix)
        before = tf.roll(x, 1, axis=1)
        if not (self.prefix and behind_prefix):
            return before
        own = _behind(prompt, len(self.prefix_tokens))
        first = tf.range(tf.shape(x)[1]) == tf.shape(x)[1] - own.lengths[:, tf.newaxis]
        return tf.where(first[:, :, tf.newaxis], tf.convert_to_tensor(self.prefix[_LAST_STATE]), before)

    def logits_of(self, states: tf.Tensor) -> tf.Tensor:
        """[rows, k, hidden] -> float32 [rows, k, vocab]."""
        return self._logits(self._read(), states)

    def _read_prompts(
        self, prompt: Prompt, max_new_tokens: int, *, last_only: bool, behind_prefix: bool = True
    ) -> tuple[tf.Tensor, KVCache]:
        """The last layer's output [batch, length, hidden], or [batch, 1, hidden] of the last token; cache."""
        weights, places, baked = self._read(), self._places(), self._baked(behind_prefix)
        prompt = _behind(prompt, baked.length)
        length = tf.shape(prompt.tokens)[1]
        offsets = tf.range(length) - (length - prompt.lengths[:, tf.newaxis])  # [batch, length]
        positions = tf.maximum(offsets, 0) + baked.length
        tokens = self._as_read(tf.where(offsets >= 0, prompt.tokens, 0))
        x, inputs = self._begun(weights, tokens, positions, offsets >= 0, start=baked.length)
        seen = prompt.lengths[:, tf.newaxis] + baked.length
        turned = turned_at(places, positions, seen)
        source = self._read_source(weights, prompt)
        read = source.segments(1) if source else [None] * len(places)

        def step(place: Place, entry: Entry, state: Any) -> Any:
            x, prompts, states = state
            attention, memory = place.spec.attention, read[place.index]
            only = last_only and place == places[-1] and not tf.is_tensor(entry)
            lender = lender_of(place, places)
            before, begun = baked.at(place.index if lender is None else lender)
            x, made, carried = self._layer_function(prefill_layer, place.spec, baked.length, only)(
                place.weights(weights, entry),
                x,
                turned[place.index],
                Text(prompt.lengths, length, relative_table(weights, Sight.of(attention, place.layer))),
                memory and entry_of(memory, entry),
                before and (taken(before, entry) if lender is None else before),
                begun and taken(begun, entry, STACK_AXIS),
                None if lender is None else held_prompts[lender],
                None if inputs is None else tf.gather(inputs, place.layer_at(entry), axis=2),
            )
            if made:
                own = map(partial(put, entry=entry), prompts.get(place.index, (None, None)), made)
                prompts = {**prompts, place.index: LayerPrompt(*own)}
            if carried:
                after = put(states.get(place.index), carried, entry, STACK_AXIS)
                states = {**states, place.index: after}
            return x, prompts, states

        held_prompts: dict[int, LayerPrompt] = {}
        states: dict[int, State] = {}
        for run in self.runs:
            apart = last_only and run == self.runs[-1]
            begin = x, self._empty(run, x), self._empty_states(run, x)
            x, made, carried = run_turns(run, step, begin, apart=apart)
            held_prompts |= made
            states |= carried
        held = KVCache.of_prompt(
            tuple(held_prompts.get(place.index) for place in places),
            tuple(_window(place) for place in places),
            prompt.lengths,
            length,
            max_new_tokens,
            source,
            baked,
            tuple(states.get(place.index, ()) for place in places),
        )
        return merged(weights, x, self.spec.decoder.parts), held

    def extend(self, tokens: tf.Tensor, cache: KVCache) -> tuple[tf.Tensor, KVCache]:
        """Appends int32 [rows, k] tokens, k static; see ``StepModel.extend``."""
        weights, state, k = self._read(), cache.state, tokens.shape[1]
        cache.check_step(k)
        positions = cache.row_lengths()[:, tf.newaxis] + tf.range(k)  # [rows, k]
        x, inputs = self._begun(weights, self._as_read(tokens), positions)
        places = self._places()
        read = cache.memory.segments(cache.copies) if cache.memory else [None] * len(places)
        front = prefix_segments(cache.baked, places, positions)
        turned = turned_at(places, positions, positions + 1)
        biases = step_biases(cache, places, positions, k, weights)

        def step(place: Place, entry: Entry, state: Any) -> Any:
            x, own = state
            lender = lender_of(place, places)
            read_at, there = (place.index, own) if lender is None else (lender, written)
            static = place.spec, cache.copies, cache.sharing, cache.wraps(place.index)
            keys, values, _ = there[read_at]
            before = own[place.index][2]
            past, generated = step_segments(cache, read_at, (keys, values), biases.get(place.index))
            memory, prefix = read[place.index], front[place.index]
            x, new, after = self._layer_function(extend_layer, *static)(
                place.weights(weights, entry),
                x,
                turned[place.index],
                past and (entry_of(past, entry) if lender is None else past),
                generated,
                memory and entry_of(memory, entry),
                prefix and (entry_of(prefix, entry) if lender is None else prefix),
                before and taken(before, entry, STACK_AXIS),
                cache.state.count,
                entry,
                None if inputs is None else tf.gather(inputs, place.layer_at(entry), axis=2),
            )
            after = after and put(before, after, entry, STACK_AXIS)
            return x, {**own, place.index: (*(new or ((), ())), after)}

        written = dict(enumerate(zip(state.keys, state.values, state.states, strict=True)))
        for run in self.runs:
            own = {place.index: written[place.index] for place in run.places}
            x, new = run_turns(run, step, (x, own))
            written |= new
        keys, values, states = zip(*written.values(), strict=True)
        new_state = state._replace(count=state.count + k, keys=keys, values=values, states=states)
        x = merged(weights, x, self.spec.decoder.parts)
        return self._logits(weights, x), cache.with_state(new_state)

    def _empty(self, run: Turns, x: tf.Tensor, *, cross: bool = False) -> dict[int, LayerPrompt]:
        """By place, stacked segments for keys and values of ``x``; nothing where the run is no loop."""
        batch, length = tf.unstack(tf.shape(x)[:2])
        found = {}
        for place in run.places if run.count > 1 else ():
            attention = place.spec.cross_attention if cross else place.spec.attention
            if attention is not None and attention.borrowed is None:
                shape = [run.count, batch * attention.kv_heads, length]
                values = () if attention.latent else tf.zeros([*shape, attention.widths[1]], self.dtype)
                keys = tf.zeros([*shape, attention.head_dim], self.dtype)
                found[place.index] = LayerPrompt(keys, values)
        return found

    def _empty_states(self, run: Turns, x: tf.Tensor) -> dict[int, State]:
        """By place, stacked states of the rows of ``x``; nothing where the run is no loop."""
        rows, places = tf.shape(x)[0], run.places if run.count > 1 else ()
        return {
            place.index: empty_state(place.spec.state, rows, self.dtype, run.count)
            for place in places
            if place.spec.state is not None
        }

    def _read_source(self, weights: Mapping[str, tf.Tensor], prompt: Prompt) -> Memory | None:
        """What the decoder's layers attend to besides the prompt: nothing here."""
        return None

    def _begun(
        self,
        weights: Mapping[str, tf.Tensor],
        tokens: tf.Tensor,
        positions: tf.Tensor,
        prompt: tf.Tensor | None = None,
        *,
        start: int = 0,
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The residual stream before the layers, and the per-layer embeddings; None without."""
        stack, by_column = self.spec.decoder, self.shares_head(weights)
        x = embed(
            stack.embedding,
            weights,
            tokens,
            positions,
            prompt=prompt,
            start=start,
            by_column=by_column,
            dtype=self.dtype,
        )
        per_layer = stack.embedding.layer_inputs
        inputs = None if per_layer is None else layer_inputs(per_layer, weights, tokens, x)
        return spread(weights, x, stack.parts), inputs

    def _as_read(self, tokens: tf.Tensor) -> tf.Tensor:
        """The tokens, with an ordinary one in place of placeholders."""
        embedding = self.spec.decoder.embedding
        for token in embedding.placeholders:
            tokens = tf.where(tokens == token, embedding.plain_token, tokens)
        return tokens

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
        attention = layer.attention
        if attention is None or attention.alibi is None or attention.alibi.rounded != "model":
            return layer
        alibi = replace(attention.alibi, rounded=dtype.name)
        return replace(layer, attention=replace(attention, alibi=alibi))

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


def _window(place: Place) -> int | None:
    """The window of what a place keeps itself."""
    attention = place.spec.attention
    return attention.window if attention and attention.borrowed is None else None


def _named(prompt: LayerPrompt | None, state: State | tuple[()]) -> dict[str, tf.Tensor]:
    """A layer's part of a prefix by name; a memory that a mechanism lacks is left out."""
    parts = [part._asdict() for part in (prompt, state) if part]
    return {name: value for part in parts for name, value in part.items() if tf.is_tensor(value)}
