"""A recurrent toy model as a step model, and the same weights as a torch model for ``generate``.

Its logits depend on every token read, in order, so a row that mixes up its history, its padding or its
cache answers differently. Weights come from NumPy: both models hold the same numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import torch
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput
from transformers.utils import logging

from exporter.generation.step import Prompt

# It warns at every call of options that only sampling reads.
logging.set_verbosity_error()
STATE = 8


class Weights(NamedTuple):
    """embed [vocab, STATE], recur [STATE, STATE], head [STATE, vocab], bias [vocab]."""

    embed: np.ndarray
    recur: np.ndarray
    head: np.ndarray
    bias: np.ndarray


def random_weights(vocab: int, seed: int = 0, scale: float = 2.0, bias: float = 0.5) -> Weights:
    rng = np.random.default_rng(seed)
    return Weights(
        rng.normal(size=(vocab, STATE)).astype(np.float32),
        rng.normal(size=(STATE, STATE), scale=0.5).astype(np.float32),
        rng.normal(size=(STATE, vocab), scale=scale).astype(np.float32),
        rng.normal(size=vocab, scale=bias).astype(np.float32),
    )


class ToyCache:
    """State: all hidden states so far, so that ``truncate`` can go back; ``count`` of them are in use."""

    def __init__(self, states: tf.Tensor, count: tf.Tensor) -> None:
        self.states, self.count = states, count  # [rows, capacity + 1, STATE], int32 [rows]

    @property
    def state(self) -> Any:
        return (self.states, self.count)

    def with_state(self, state: Any) -> ToyCache:
        return ToyCache(*state)

    def expand(self, n: int) -> ToyCache:
        return ToyCache(tf.repeat(self.states, n, axis=0), tf.repeat(self.count, n))

    def reorder(self, indices: tf.Tensor) -> ToyCache:
        return ToyCache(tf.gather(self.states, indices), tf.gather(self.count, indices))

    def per_row(self, step: int) -> ToyCache:
        return ToyCache(tf.pad(self.states, [[0, 0], [0, step], [0, 0]]), self.count)

    def truncate(self, count: tf.Tensor) -> ToyCache:
        return ToyCache(self.states, self.count - count)


class ToyModel:
    """The step model. ``extends`` counts traces of ``extend``."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.vocab_size = weights.embed.shape[0]

    def _step(self, hidden: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
        return tf.tanh(tf.linalg.matmul(hidden, self.weights.recur) + tf.gather(self.weights.embed, token))

    def _logits(self, hidden: tf.Tensor) -> tf.Tensor:
        return tf.einsum("...d,dv->...v", hidden, self.weights.head) + self.weights.bias

    def logits_of(self, states: tf.Tensor) -> tf.Tensor:
        return self._logits(states)

    def states_before(self, prompt: Prompt) -> tf.Tensor:
        return tf.roll(self._read(prompt)[0], 1, axis=1)

    def prefill(
        self, prompt: Prompt, *, max_new_tokens: int, logits: str = "last"
    ) -> tuple[tf.Tensor, ToyCache]:
        states, hidden = self._read(prompt)
        kept = tf.pad(hidden[:, None], [[0, 0], [0, max_new_tokens], [0, 0]])
        cache = ToyCache(kept, tf.zeros_like(prompt.lengths))
        return self._logits(states if logits == "all" else hidden), cache

    def _read(self, prompt: Prompt) -> tuple[tf.Tensor, tf.Tensor]:
        """Hidden states [batch, length, STATE] after each column, [batch, STATE] after the last one."""
        batch, length = tf.unstack(tf.shape(prompt.tokens))
        hidden = tf.zeros([batch, STATE])
        if prompt.encoder_tokens is not None:
            hidden = self._encode(prompt)
        steps = tf.TensorArray(tf.float32, length, element_shape=[None, STATE])

        def body(index: tf.Tensor, hidden: tf.Tensor, steps: Any) -> Any:
            new = self._step(hidden, prompt.tokens[:, index])
            hidden = tf.where((index >= length - prompt.lengths)[:, None], new, hidden)
            return index + 1, hidden, steps.write(index, hidden)

        _, hidden, steps = tf.while_loop(lambda index, *_: index < length, body, (0, hidden, steps))
        return tf.transpose(steps.stack(), [1, 0, 2]), hidden

    def _encode(self, prompt: Prompt) -> tf.Tensor:
        """The sum of the source's embeddings."""
        assert prompt.encoder_tokens is not None
        mask = tf.sequence_mask(prompt.encoder_lengths, tf.shape(prompt.encoder_tokens)[1], tf.float32)
        return tf.reduce_sum(tf.gather(self.weights.embed, prompt.encoder_tokens) * mask[..., None], axis=1)

    def extend(self, tokens: tf.Tensor, cache: ToyCache) -> tuple[tf.Tensor, ToyCache]:
        states, count = cache.state
        logits = []
        for column in range(tokens.shape[1]):
            hidden = self._step(tf.gather(states, count, batch_dims=1), tokens[:, column])
            count = count + 1
            here = tf.range(tf.shape(states)[1])[None] == count[:, None]
            states = tf.where(here[..., None], hidden[:, None], states)
            logits.append(self._logits(hidden))
        return tf.stack(logits, axis=1), ToyCache(states, count)


class ToyConfig(PretrainedConfig):
    model_type = "genserve_toy"

    def __init__(self, vocab_size: int = 8, **kwargs: Any) -> None:
        self.vocab_size = vocab_size
        super().__init__(**kwargs)


class TorchToy(PreTrainedModel, GenerationMixin):
    """The same model for transformers: reads the whole sequence at every step."""

    config_class = ToyConfig

    def __init__(self, weights: Weights) -> None:
        super().__init__(ToyConfig(vocab_size=weights.embed.shape[0]))
        self.w = [torch.tensor(part) for part in weights]
        self.dummy = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: torch.Tensor, **kwargs: Any) -> CausalLMOutput:
        embed, recur, head, bias = self.w
        hidden = torch.zeros(len(input_ids), STATE)
        logits = []
        for token in input_ids.T:
            hidden = torch.tanh(hidden @ recur + embed[token])
            logits.append(hidden @ head + bias)
        return CausalLMOutput(logits=torch.stack(logits, 1))


def make_prompt(prompts: list[list[int]], length: int | None = None) -> Prompt:
    """Left-pads lists of ids; the padding holds a real token, which must not matter."""
    length = length or max(map(len, prompts))
    tokens = np.full((len(prompts), length), 1, np.int32)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[length - len(prompt) :] = prompt
    return Prompt(tf.constant(tokens), tf.constant([len(p) for p in prompts], tf.int32))
