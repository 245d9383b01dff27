"""What a family is, and what the readers of several families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.spec import Activation, ModelSpec


@dataclass(frozen=True)
class Family:
    """Config reader, weight names, and the config keys that change nothing in inference.

    ``aliases`` are other names of config keys: the reference's ``attribute_map``.
    """

    read: Callable[[ConfigReader], ModelSpec]
    names: Names | Callable[[ModelSpec], Names]
    harmless: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    encoder_decoder: bool = False

    def names_for(self, spec: ModelSpec) -> Names:
        """The weight names for one spec."""
        return self.names if isinstance(self.names, Names) else self.names(spec)


# The reference's ACT2FN.
ACTIVATIONS = {
    "gelu": Activation.GELU,
    "gelu_python": Activation.GELU,
    "gelu_new": Activation.GELU_TANH,
    "gelu_fast": Activation.GELU_TANH,
    "gelu_accurate": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "gelu_python_tanh": Activation.GELU_TANH,
    "quick_gelu": Activation.QUICK_GELU,
    "relu": Activation.RELU,
    "relu2": Activation.RELU_SQUARED,
    "silu": Activation.SILU,
    "swish": Activation.SILU,
    "tanh": Activation.TANH,
    "sigmoid": Activation.SIGMOID,
    "linear": Activation.LINEAR,
}


def expect_kind(reader: ConfigReader, *, encoder_decoder: bool) -> None:
    """What a config of any family must agree to."""
    reader.expect("is_encoder_decoder", encoder_decoder, None, why="this model_type is of the other kind")
    reader.expect("is_causal", True, why="generation needs a causal model")
    if not encoder_decoder:
        reader.expect("add_cross_attention", False, why="cross-attention needs an encoder")
