"""What is known of an architecture of KerasHub: its configuration by the reference's names, as data.

Every key of a backbone's configuration is used, has one value that is allowed, or is declared harmless.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.checkpoint.keras_hub.tables import Table
from exporter.checkpoint.keras_hub.tokenizer_files import Special
from exporter.errors import CheckpointError, UnsupportedError, raise_all

Config = Mapping[str, Any]
_HARMLESS = frozenset({"name", "trainable", "dtype", "dropout"})
#: Keys that decide shapes.
_SIZES = frozenset(
    {
        "vocabulary_size",
        "num_layers",
        "num_heads",
        "num_query_heads",
        "num_attention_heads",
        "num_key_value_heads",
        "hidden_dim",
        "intermediate_dim",
    }
)
#: Keys that older presets of the same class lack, and that stand for nothing there.
_LATER = frozenset({"head_dim"})


@dataclass(frozen=True)
class Architecture:
    """One backbone of KerasHub.

    Attributes:
      model_type: the reference's name.
      keys: KerasHub's key -> the reference's, of values that are taken as they are.
      table: where the weights are.
      fixed: the reference's keys that the backbone's code decides.
      only: keys that must have one of these values, because the reference has no others.
      harmless: keys of training alone.
      more: the reference's keys that are made of others, which ``read`` names.
      length: the reference's key of the context length that the preset does not hold; None where it does, or
        where there is none.
      generation: what generating needs beside the ids of special tokens.
      instead: the architecture that a configuration of the same backbone means otherwise.
      lost: what else the preset does not hold and what was chosen, each in words for a note.
    """

    model_type: str
    keys: Mapping[str, str]
    table: Table
    fixed: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    harmless: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()
    more: Callable[[Config], dict[str, Any]] = lambda config: {}
    generation: Callable[[Special], dict[str, Any]] = lambda special: {}
    length: str | None = "max_position_embeddings"
    lost: tuple[str, ...] = ()
    instead: Callable[[Config], Architecture | None] = lambda config: None


def reference_config(name: str, architecture: Architecture, config: Config) -> dict[str, Any]:
    """config.json of the reference, from a backbone's configuration.

    Raises:
      UnsupportedError: keys that are not known, or values that the reference has no word for; all in one.
    """
    raise_all(UnsupportedError, f"this {name} cannot be exported:", _problems(name, architecture, config))
    try:
        more = architecture.more(config)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the configuration of this {name} is damaged: {error!r}") from error
    return {
        "model_type": architecture.model_type,
        **{theirs: config[ours] for ours, theirs in architecture.keys.items() if ours in config},
        **architecture.fixed,
        **more,
    }


def _problems(name: str, architecture: Architecture, config: Config) -> list[str]:
    known = {*architecture.keys, *architecture.only, *architecture.harmless, *architecture.read, *_HARMLESS}
    needed = (*architecture.keys, *(_SIZES & architecture.read))
    return [
        *(f"{key} is missing" for key in needed if key not in config and key not in _LATER),
        *(
            f"{key}={config[key]!r} must be an integer of at least 1"
            for key in sorted(_SIZES & config.keys())
            if type(config[key]) is not int or config[key] < 1
        ),
        *([f"dtype: quantised presets are not read: {config['dtype']!r}"] if _quantised(config) else []),
        *(f"{key}={config[key]!r} is not known of a {name}" for key in sorted(set(config) - known)),
        *(
            f"{key}={config[key]!r}; allowed is {' or '.join(map(repr, allowed))}"
            for key, allowed in architecture.only.items()
            if key in config and config[key] not in allowed
        ),
    ]


def _quantised(config: Config) -> bool:
    """Quantised policies have classes of their own, or names such as int8_from_float32."""
    return (
        re.search(r"Quantized\w*Policy|_from_(mixed_)?b?float", json.dumps(config.get("dtype"))) is not None
    )


def linear_rope(config: Config) -> dict[str, Any]:
    """KerasHub divides positions by its scaling factor, which the reference calls linear."""
    theta = {"rope_theta": float(config.get("rope_max_wavelength", 10_000))}
    factor = float(config.get("rope_scaling_factor", 1.0))
    if factor == 1.0:
        return {"rope_parameters": {"rope_type": "default", **theta}}
    return {"rope_parameters": {"rope_type": "linear", "factor": factor, **theta}}


#: Sizes of decoders with grouped queries.
SIZES = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_query_heads": "num_attention_heads",
    "num_key_value_heads": "num_key_value_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
}
