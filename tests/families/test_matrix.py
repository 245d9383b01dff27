"""The support matrix: every registered family is tested, every tested family is listed."""

from __future__ import annotations

import importlib.util

from exporter.families.registry import FAMILIES as REGISTERED
from exporter.families.registry import REFUSED
from tests.conftest import ROOT
from tests.encoder_decoder.cases import FAMILIES as ENCODER_DECODER
from tests.families.cases import FAMILIES


def test_every_registered_family_has_cases() -> None:
    tested = [family.model_type for family in (*FAMILIES, *ENCODER_DECODER)]
    assert sorted(tested) == sorted(REGISTERED)
    assert not set(tested) & set(REFUSED)


def test_every_family_has_two_cases_of_its_own() -> None:
    for family in (*FAMILIES, *ENCODER_DECODER):
        assert len({case.touches for case in family.cases}) == len(family.cases) >= 2, family.model_type
        assert family.known_as, family.model_type


def test_the_document_is_up_to_date() -> None:
    path = ROOT / "scripts" / "make_family_matrix.py"
    spec = importlib.util.spec_from_file_location("make_family_matrix", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.TARGET.read_text(encoding="utf-8") == script.render(), f"run {script.COMMAND}"
