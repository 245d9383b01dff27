"""What the graph needs to know about an architecture: frozen, hashable, free of TensorFlow.

A ``ModelSpec`` is made by a family's config reader and consumed by ``exporter.model``. Layers are listed one
by one, so that models with alternating windows or mixed dense and sparse layers need no special case; layers
that compare equal share one function in the graph. Where a field follows an attribute of the reference, its
comment names it.
"""

from exporter.spec.altup import AltUpSpec, LaurelSpec
from exporter.spec.attention import AttentionSpec, DifferenceSpec, LatentSpec, QkNormScope
from exporter.spec.embedding import (
    EmbeddingSpec,
    HeadBlockSpec,
    HeadSpec,
    LayerInputsSpec,
    MediaTableSpec,
    PositionKind,
)
from exporter.spec.feed_forward import (
    BesideSpec,
    ChannelMixSpec,
    ChoiceSpec,
    MlpSpec,
    MoeSpec,
    RouterSpec,
    Score,
)
from exporter.spec.layer import Block, LayerInputSpec, LayerSpec
from exporter.spec.model import ModelSpec, StackSpec
from exporter.spec.parts import Activation, NormKind, NormSpec
from exporter.spec.positions import AlibiSpec, RelativeSpec, RopeKind, RopeLayout, RotaryRounding, RotarySpec
from exporter.spec.states import (
    GatedDeltaSpec,
    Mamba2Spec,
    MambaSpec,
    RgLruSpec,
    ShortConvSpec,
    StateSpec,
    WkvSpec,
)

__all__ = [
    "Activation",
    "AlibiSpec",
    "AltUpSpec",
    "AttentionSpec",
    "BesideSpec",
    "Block",
    "ChannelMixSpec",
    "ChoiceSpec",
    "DifferenceSpec",
    "EmbeddingSpec",
    "GatedDeltaSpec",
    "HeadBlockSpec",
    "HeadSpec",
    "LatentSpec",
    "LaurelSpec",
    "LayerInputSpec",
    "LayerInputsSpec",
    "LayerSpec",
    "Mamba2Spec",
    "MambaSpec",
    "MediaTableSpec",
    "MlpSpec",
    "ModelSpec",
    "MoeSpec",
    "NormKind",
    "NormSpec",
    "PositionKind",
    "QkNormScope",
    "RelativeSpec",
    "RgLruSpec",
    "RopeKind",
    "RopeLayout",
    "RotaryRounding",
    "RotarySpec",
    "RouterSpec",
    "Score",
    "ShortConvSpec",
    "StackSpec",
    "StateSpec",
    "WkvSpec",
]
