"""A model that has baked a prefix, for prompts that do not begin with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import tensorflow as tf

from exporter.generation.step import Cache, Prompt, PromptModel
from exporter.model.transformer import Transformer


class Unbaked:
    """A model for prompts that do not begin with the prefix that it has baked."""

    def __init__(self, model: Transformer) -> None:
        self._model = model

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        return self._model.vocab_size

    def prefill(
        self, prompt: Prompt, *, max_new_tokens: int, logits: Literal["last", "all"] = "last"
    ) -> tuple[tf.Tensor, Cache]:
        """See ``StepModel.prefill``."""
        return self._model.prefill(prompt, max_new_tokens=max_new_tokens, logits=logits, behind_prefix=False)

    def extend(self, tokens: tf.Tensor, cache: Any) -> tuple[tf.Tensor, Cache]:
        """See ``StepModel.extend``: the cache knows what it was begun with."""
        return self._model.extend(tokens, cache)

    def states_before(self, prompt: Prompt) -> tf.Tensor:
        """See ``PromptModel.states_before``."""
        return self._model.states_before(prompt, behind_prefix=False)

    def logits_of(self, states: tf.Tensor) -> tf.Tensor:
        """See ``PromptModel.logits_of``."""
        return self._model.logits_of(states)


def read_behind(model: PromptModel, prefix: Sequence[int]) -> PromptModel:
    """The model for prompts that begin with the prefix that it has baked, or, with (), do not."""
    if isinstance(model, Transformer) and model.prefix_tokens and not prefix:
        return Unbaked(model)
    return model
