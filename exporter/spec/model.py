"""A whole model: stacks of layers, and how long a sequence may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from exporter.errors import UnsupportedError
from exporter.spec.attention import AttentionSpec
from exporter.spec.embedding import EmbeddingSpec, HeadSpec
from exporter.spec.layer import LayerSpec
from exporter.spec.parts import NormSpec
from exporter.spec.positions import RopeKind
from exporter.spec.states import StateSpec


@dataclass(frozen=True)
class StackSpec:
    """Embedding, layers and final norm of a decoder or an encoder.

    ``vocab_size`` and ``hidden_size`` are given for an encoder that differs in them from its decoder.
    """

    embedding: EmbeddingSpec
    layers: tuple[LayerSpec, ...]
    final_norm: NormSpec | None
    vocab_size: int | None = None
    hidden_size: int | None = None

    @property
    def attentions(self) -> tuple[AttentionSpec, ...]:
        """Of the layers that have one."""
        return tuple(layer.attention for layer in self.layers if layer.attention)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        """Of the layers that carry one."""
        return tuple(layer.state for layer in self.layers if layer.state)

    @property
    def parts(self) -> int:
        """Of the residual stream."""
        return max((layer.altup.parts for layer in self.layers if layer.altup), default=1)


@dataclass(frozen=True)
class ModelSpec:
    """A whole model.

    Attributes:
      context_length: the longest sequence the checkpoint was made for, None where nothing bounds it; of an
        encoder-decoder model the longest of either side.
      context_is_hard: positions beyond ``context_length`` do not exist (a learned table), so that an export
        must not be able to reach them.
      ignored_config_keys: keys that the user passed on with --ignore-config-key.
      unread_config_keys: keys that the reference does not read, so that they cannot matter; no part of what a
        model is, and so not compared.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    decoder: StackSpec
    head: HeadSpec
    context_length: int | None
    context_is_hard: bool = False
    kind: Literal["decoder_only", "encoder_decoder"] = "decoder_only"
    encoder: StackSpec | None = None
    ignored_config_keys: tuple[str, ...] = field(default=())
    unread_config_keys: tuple[str, ...] = field(default=(), compare=False)

    @property
    def rescaled_beyond(self) -> int | None:
        """The length beyond which dynamic rope scaling turns all keys that are read by it; None: never."""
        rotaries = [attention.rotary for attention in self.decoder.attentions if attention.rotary]
        return min((each.max_length for each in rotaries if each.kind is RopeKind.DYNAMIC), default=None)

    def check_lengths(self, prompt_length: int, max_new_tokens: int) -> None:
        """Raises UnsupportedError where a prompt bucket and its new tokens would leave the reference's path.

        That is so beyond a hard context (encoder and decoder of an encoder-decoder model have one each), and
        where a row could cross from longrope's short factors to its long ones while it generates: the
        reference then computes its whole cache anew.
        """
        total = prompt_length + max_new_tokens
        wanted = f"prompt length {prompt_length} + max_new_tokens {max_new_tokens} = {total}"
        if self.kind == "encoder_decoder":
            # The decoder reads its start token and every new token but the last.
            total = max(prompt_length, max_new_tokens)
            wanted = f"the longer of prompt length {prompt_length} and max_new_tokens {max_new_tokens}"
        if self.context_is_hard and self.context_length is not None and total > self.context_length:
            raise UnsupportedError(
                f"{wanted} exceeds the {self.context_length} positions of this {self.model_type} checkpoint"
            )
        for attention in self.decoder.attentions:
            rotary = attention.rotary
            if rotary and rotary.kind is RopeKind.LONGROPE and total > rotary.original_length:
                raise UnsupportedError(
                    f"{wanted} crosses original_max_position_embeddings={rotary.original_length}, where "
                    "longrope changes its factors and the reference restarts its cache; stay below it"
                )
