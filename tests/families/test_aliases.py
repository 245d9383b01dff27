"""Other names of config keys: what the reference's ``attribute_map`` maps, the readers map too."""

from __future__ import annotations

import pytest
import transformers

from exporter.errors import UnsupportedError
from exporter.families import FAMILIES as READERS
from exporter.families.reader import ConfigReader
from tests.families.case import FamilyCases
from tests.families.cases import FAMILIES


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_every_name_of_the_reference_is_known(family: FamilyCases) -> None:
    reader = READERS[family.model_type]
    for alias, key in getattr(transformers, family.config_class).attribute_map.items():
        # Either direction will do: both names are read as one.
        known = reader.aliases.get(alias) == key or reader.aliases.get(key) == alias
        assert known or "token" in alias, (alias, key)


def test_an_alias_wins_over_its_key_and_null_does_not() -> None:
    aliases = {"n_embed": "hidden_size"}
    assert ConfigReader({"n_embed": 8, "hidden_size": 4}, aliases).integer("hidden_size") == 8
    assert ConfigReader({"n_embed": None, "hidden_size": 4}, aliases).integer("hidden_size") == 4
    reader = ConfigReader({"n_embed": -1}, aliases)
    reader.integer("hidden_size")
    with pytest.raises(UnsupportedError, match=r"hidden_size=-1 must be an integer of at least 1$"):
        reader.finish(())
