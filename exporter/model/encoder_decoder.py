"""The encoder-decoder transformer: a decoder whose layers also attend to what an encoder has read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache as memo

import tensorflow as tf

from exporter.generation.step import Prompt
from exporter.model.attention import project_memory
from exporter.model.bias import Sight, Text
from exporter.model.block import prefill_layer
from exporter.model.cache import LayerPrompt, Memory
from exporter.model.embedding import embed
from exporter.model.layers import norm, scoped
from exporter.model.rotary import Turning, position_at
from exporter.model.transformer import Transformer, relative_table


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
        place = memo(lambda turning: position_at(turning, positions, lengths[:, tf.newaxis]))
        for index, layer in enumerate(stack.layers):
            table = relative_table(own, Sight.of(layer.attention, index))
            x, _, _ = self._layer_function(prefill_layer, layer, None, False)(
                scoped(own, f"layers.{index}."),
                x,
                place(Turning.of(layer.attention)),
                Text(lengths, length, table),
                None,
                None,
            )
        return norm(x, own, "final_norm", stack.final_norm)

    def _read_source(self, weights: Mapping[str, tf.Tensor], prompt: Prompt) -> Memory:
        if prompt.encoder_tokens is None or prompt.encoder_lengths is None:
            raise ValueError(f"{self.spec.model_type} needs encoder_tokens and encoder_lengths in its prompt")
        states = self._encode(weights, prompt.encoder_tokens, prompt.encoder_lengths)
        kept = []
        for index, layer in enumerate(self.layers):
            assert layer.cross_attention is not None
            own = scoped(weights, f"layers.{index}.")
            kept.append(LayerPrompt(*project_memory(states, own, layer.cross_attention)))
        return Memory(tuple(kept), prompt.encoder_lengths)
