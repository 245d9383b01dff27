"""The encoder-decoder transformer: a decoder whose layers also attend to what an encoder has read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import tensorflow as tf

from exporter.generation.step import Prompt
from exporter.model.attention import project_memory
from exporter.model.bias import Sight, Text
from exporter.model.block import prefill_layer
from exporter.model.cache import LayerPrompt, Memory
from exporter.model.embedding import embed
from exporter.model.layers import norm, scoped
from exporter.model.reading import relative_table, turned_at
from exporter.model.runs import Entry, Place, put, run_turns, turns_of
from exporter.model.transformer import Transformer


class EncoderDecoder(Transformer):
    """Implements ``exporter.generation.step.StepModel``; a prompt's ``tokens`` are the decoder's.

    The encoder runs once a prompt. The keys and values that the decoder's layers compute from its states are
    kept once a prompt too, invariant in a decoding loop and shared by the prompt's beams or samples.
    """

    def encode(self, tokens: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """The encoder's states.

        Args:
          tokens: int32 [batch, length], right-padded; what stands in the padding never matters.
          lengths: int32 [batch].

        Returns:
          [batch, length, hidden]; the padding's states mean nothing.
        """
        return self._encode(self._read(), tokens, lengths)

    def _encode(self, weights: Mapping[str, tf.Tensor], tokens: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        stack, own = self.spec.encoder, scoped(weights, "encoder.")
        assert stack is not None
        shares_table = "embedding.tokens" not in own
        if shares_table:
            own |= {name: value for name, value in weights.items() if name.startswith("embedding.tokens")}
        length = tf.shape(tokens)[1]
        positions = tf.range(length)[tf.newaxis] + tf.zeros_like(tokens)  # [batch, length]
        real = positions < lengths[:, tf.newaxis]
        x = embed(
            stack.embedding,
            own,
            tf.where(real, tokens, 0),
            positions,
            prompt=real,
            by_column=shares_table and self.shares_head(weights),
            dtype=self.dtype,
        )
        runs = turns_of(stack.layers, own)
        places = [place for run in runs for place in run.places]
        turned = turned_at(places, positions, lengths[:, tf.newaxis])

        def step(place: Place, entry: Entry, x: tf.Tensor) -> tf.Tensor:
            attention = place.spec.attention
            table = relative_table(own, Sight.of(attention, place.layer))
            return self._layer_function(prefill_layer, place.spec, None, False)(
                place.weights(own, entry),
                x,
                turned[place.index],
                Text(lengths, length, table),
                None,
                None,
            )[0]

        for run in runs:
            x = run_turns(run, step, x)
        return norm(x, own, "final_norm", stack.final_norm)

    def _read_source(self, weights: Mapping[str, tf.Tensor], prompt: Prompt) -> Memory:
        if prompt.encoder_tokens is None or prompt.encoder_lengths is None:
            raise ValueError(f"{self.spec.model_type} needs encoder_tokens and encoder_lengths in its prompt")
        states = self._encode(weights, prompt.encoder_tokens, prompt.encoder_lengths)

        def step(place: Place, entry: Entry, kept: Any) -> Any:
            assert place.spec.cross_attention is not None
            made = project_memory(states, place.weights(weights, entry), place.spec.cross_attention)
            own = map(partial(put, entry=entry), kept.get(place.index, (None, None)), made)
            return {**kept, place.index: LayerPrompt(*own)}

        kept: dict[int, LayerPrompt] = {}
        for run in self.runs:
            kept |= run_turns(run, step, self._empty(run, states, cross=True))
        return Memory(tuple(kept.values()), prompt.encoder_lengths)
