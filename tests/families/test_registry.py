"""Every type that the installed transformers generates text with is supported, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import UnsupportedError
from exporter.families import read_spec
from exporter.families.config_keys import package_directory
from exporter.families.registry import ALIASES, FAMILIES, REFUSED, REMOTE
from exporter.families.scan import CAUSAL, IMAGE_TEXT, MULTIMODAL, SEQ_TO_SEQ, SPEECH, registered

TABLES = (CAUSAL, SEQ_TO_SEQ, IMAGE_TEXT, MULTIMODAL, SPEECH)
ANSWERED = (FAMILIES.keys(), ALIASES.keys(), REFUSED.keys(), REMOTE.keys())


@pytest.mark.parametrize("table", TABLES)
def test_every_registered_type_has_an_answer(table: str) -> None:
    """What a new release adds is named here: add a family, or say in ``refused.py`` what it needs."""
    types = registered(package_directory(), table)
    assert len(types) > 20
    assert types.keys() - set().union(*ANSWERED) == set()


def test_no_type_has_two_answers() -> None:
    assert sum(map(len, ANSWERED)) == len(set().union(*ANSWERED))


def test_the_tables_are_those_of_the_auto_classes() -> None:
    from transformers.models.auto import modeling_auto

    for table in TABLES:
        assert registered(package_directory(), table) == dict(getattr(modeling_auto, table))


def test_a_version_without_such_tables_is_told(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=CAUSAL):
        registered(tmp_path)


def test_an_alias_is_read_as_the_reference_reads_it() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    for alias, (model_type, _) in ALIASES.items():
        assert (
            CONFIG_MAPPING_NAMES.get(alias, CONFIG_MAPPING_NAMES[model_type])
            == CONFIG_MAPPING_NAMES[model_type]
        )
        assert read_spec({"model_type": alias}) == read_spec({"model_type": model_type})


@pytest.mark.parametrize("model_type", sorted(REMOTE))
def test_types_with_code_of_their_own(model_type: str) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    assert model_type not in CONFIG_MAPPING_NAMES, "transformers has a class for it: say more than that"
    with pytest.raises(UnsupportedError, match=f"model_type '{model_type}' is not supported: its code is"):
        read_spec({"model_type": model_type})
