"""Model families as data: ``model_type`` -> a config reader and a table of weight names.

To add one, see "A family in an hour" in CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from exporter.errors import UnsupportedError, did_you_mean
from exporter.families.config_keys import reference_of, unread_notes
from exporter.families.family import expect_kind
from exporter.families.reader import ConfigReader
from exporter.families.registry import ALIASES, FAMILIES, REFUSED, REMOTE
from exporter.spec import ModelSpec

if TYPE_CHECKING:
    import numpy.typing as npt

    from exporter.checkpoint import Checkpoint
    from exporter.weights import Weights

__all__ = ["FAMILIES", "count_weights", "load_weights", "read_spec", "unread_notes"]


def read_spec(config: Mapping[str, Any], *, ignore_config_keys: Iterable[str] = ()) -> ModelSpec:
    """The architecture that a config.json describes.

    Raises:
      UnsupportedError: the model_type is not supported (says which are), or the config holds keys or values
        that cannot be reproduced exactly: all of them in one error.
    """
    model_type = config.get("model_type")
    if model_type is None:
        raise UnsupportedError("config.json has no model_type, so its architecture is unknown")
    if not isinstance(model_type, str):
        raise UnsupportedError(f"config.json: model_type={model_type!r} must be a string, as 'llama'")
    if why := REFUSED.get(model_type) or REMOTE.get(model_type):
        raise UnsupportedError(f"model_type {model_type!r} is not supported: {why}")
    model_type, assumed = ALIASES.get(model_type, (model_type, {}))
    if model_type not in FAMILIES:
        supported = ", ".join(sorted(FAMILIES))
        hint = did_you_mean(model_type, [*FAMILIES, *ALIASES])
        raise UnsupportedError(f"model_type {model_type!r} is not supported{hint}; supported are {supported}")
    family = FAMILIES[model_type]
    read = reference_of(model_type).keys
    reader = ConfigReader(config, family.aliases, read=read.config, read_of_rope=read.rope)
    reader.harmless(*family.harmless)
    expect_kind(reader, encoder_decoder=family.encoder_decoder)
    for key, value in assumed.items():
        reader.expect(key, value, why=f"the graph is that of {model_type}")
    spec = family.read(reader)
    findings = reader.finish(ignore_config_keys)
    unread = (*findings.unread, *(["model_type"] if model_type != config["model_type"] else []))
    return replace(spec, ignored_config_keys=findings.allowed, unread_config_keys=unread)


def load_weights(spec: ModelSpec, checkpoint: Checkpoint, dtype: npt.DTypeLike) -> Weights:
    """The checkpoint's weights under our names and in our layout, in ``dtype``; none is read yet.

    Raises:
      CheckpointError: lists every missing and unused tensor and every wrong shape.
    """
    from exporter.families.load import load

    family = FAMILIES[spec.model_type]
    return load(spec, family.names_for(spec), checkpoint, dtype)


def count_weights(spec: ModelSpec, checkpoint: Checkpoint) -> int:
    """How many numbers ``load_weights`` would read, from the headers of the files alone.

    Raises:
      CheckpointError: as ``load_weights``.
    """
    from exporter.families.load import check

    found = check(spec, FAMILIES[spec.model_type].names_for(spec), checkpoint)
    return sum(prod(shape) for shape in {part.name: part.shape for part in found.parts}.values())
