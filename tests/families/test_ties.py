"""Whose ``tie_word_embeddings`` counts where a checkpoint has two: what the reference makes one parameter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from exporter.errors import UnsupportedError
from exporter.families import FAMILIES as READERS
from exporter.families import read_spec
from exporter.families.wrapped import Ties, Wrapped
from tests.families.cases import BY_TYPE

pytestmark = pytest.mark.parity

KEY = "tie_word_embeddings"
#: Types that hold another one's model, with how they are read.
WRAPPED: dict[str, Wrapped] = {
    name: reader
    for name, family in READERS.items()
    if isinstance(reader := getattr(family.read, "__self__", None), Wrapped)
}
#: Outer and inner; None: not there.
DISAGREE = [(True, False), (False, True), (None, True), (None, False)]


def config_of(model_type: str, outer: bool | None, inner: bool | None) -> dict[str, Any]:
    """The config.json of a type's first case with ties of its own."""
    family = BY_TYPE[model_type]
    made = getattr(transformers, family.config_class)(**{**family.base, **family.cases[0].config})
    config: dict[str, Any] = made.to_dict()
    for section, tied in ((config, outer), (config["text_config"], inner)):
        section.pop(KEY, None)
        section.update({} if tied is None else {KEY: tied})
    return config


def is_one(model_type: str, config: dict[str, Any]) -> bool:
    """Whether head and token table of the reference's model are one parameter."""
    family = BY_TYPE[model_type]
    read = getattr(transformers, family.config_class).from_dict(config)
    with torch.device("meta"):
        model = getattr(transformers, family.model_class)(read)
    head = model.get_output_embeddings() or model.language_model.get_output_embeddings()
    return head.weight is model.get_input_embeddings().weight


def test_there_are_such_types() -> None:
    assert len(WRAPPED) > 40
    assert {reader.ties for reader in WRAPPED.values()} == set(Ties)


@pytest.mark.parametrize("model_type", WRAPPED)
def test_ties_that_disagree(model_type: str) -> None:
    reader = WRAPPED[model_type]
    for outer, inner in DISAGREE:
        config = config_of(model_type, outer, inner)
        if reader.ties is Ties.SAME and inner != (reader.tied if outer is None else outer):
            with pytest.raises(UnsupportedError, match=rf"text_config\.{KEY}"):
                read_spec(config)
        else:
            assert read_spec(config).head.tied == is_one(model_type, config), (outer, inner)
