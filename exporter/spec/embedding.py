"""What stands before the layers and behind them: embedding and output head."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from exporter.spec.parts import Activation, NormSpec


class PositionKind(enum.Enum):
    """What is added to the token embedding; rotary and ALiBi live in the attention."""

    NONE = "none"
    LEARNED = "learned"
    SINUSOIDAL = "sinusoidal"  # sines, then cosines; rates from 1 to 1 / 10000 inclusive, as in tensor2tensor
    VASWANI = "vaswani"  # sines, then cosines; rates 10000 ** (-2 j / size), as in the paper; a table


@dataclass(frozen=True)
class LayerInputsSpec:
    """Per-layer embeddings: (norm(project(x)) + an entry of a table of their own) / sqrt(2), by layer.

    Attributes:
      vocab: rows of the table (``vocab_size_per_layer_input``).
      layers, width: each row holds ``width`` numbers for every layer.
      norm: of the projected embedding, layer by layer.
      rounded: the factors are numbers of the model's dtype.

    A token beyond the table has the entry of token 0.
    """

    vocab: int
    layers: int
    width: int
    norm: NormSpec
    rounded: bool = False


@dataclass(frozen=True)
class MediaTableSpec:
    """Tokens from ``first`` on have entries of a table of their own: norm(project(norm(entry))).

    That is how a model that reads images or sound embeds the tokens that stand for such. The table has
    ``vocab`` rows of ``size`` numbers; ``norm`` is the first of both norms, the second has no weights.
    """

    first: int
    vocab: int
    size: int
    norm: NormSpec


@dataclass(frozen=True)
class EmbeddingSpec:
    """Token and position embedding; a ``size`` other than the hidden size is projected to it.

    ``rounded_scale``: ``scale`` is a number of the model's dtype.

    ``norm_first`` normalises the tokens before positions are added, not after. A ``padding_token`` does not
    advance positions and has none of its own, even where it is an ordinary token of a prompt (fairseq).
    ``placeholders``, of images and the like, are read as the ``plain_token``. A later table of ``media`` goes
    before an earlier one.
    """

    size: int
    scale: float = 1.0
    rounded_scale: bool = False
    positions: PositionKind = PositionKind.NONE
    position_count: int = 0  # rows of the position table that positions may name
    position_offset: int = 0  # rows of the table that come before position 0
    norm: NormSpec | None = None
    norm_first: bool = False
    padding_token: int | None = None
    layer_inputs: LayerInputsSpec | None = None
    placeholders: tuple[int, ...] = ()
    plain_token: int = 0
    media: tuple[MediaTableSpec, ...] = ()


@dataclass(frozen=True)
class HeadBlockSpec:
    """A block before the logits, as BERT's head has it: norm(activation(dense(x)))."""

    activation: Activation
    norm: NormSpec
    bias: bool = False


@dataclass(frozen=True)
class HeadSpec:
    """Output head: hidden state to logits. ``tied`` uses the token embedding."""

    tied: bool
    bias: bool = False
    bias_apart: bool = False  # it is added to rounded logits
    scale: float = 1.0  # multiplies the logits
    input_scale: float = 1.0  # multiplies what it reads
    softcap: float | None = None  # final_logit_softcapping
    block: HeadBlockSpec | None = None
