"""Tiny configurations of every family: what the parity tests run and the support matrix lists."""

from __future__ import annotations

from tests.families import (
    cases_gemma3n,
    cases_gpt,
    cases_kin,
    cases_kin2,
    cases_latent,
    cases_llama,
    cases_mixtures,
    cases_mixtures2,
    cases_mixtures3,
    cases_multi,
    cases_multimodal2,
    cases_multimodal3,
    cases_recurrent,
    cases_state,
)
from tests.families.case import VOCAB, Case, FamilyCases
from tests.families.cases_more import MORE

__all__ = ["BY_TYPE", "FAMILIES", "VOCAB", "Case", "FamilyCases"]

FAMILIES: tuple[FamilyCases, ...] = (
    *cases_gemma3n.CASES,
    *cases_gpt.CASES,
    *cases_llama.CASES,
    *MORE,
    *cases_kin.CASES,
    *cases_kin2.CASES,
    *cases_latent.CASES,
    *cases_mixtures.CASES,
    *cases_mixtures2.CASES,
    *cases_mixtures3.CASES,
    *cases_multi.CASES,
    *cases_multimodal2.CASES,
    *cases_multimodal3.CASES,
    *cases_recurrent.CASES,
    *cases_state.CASES,
)
BY_TYPE = {family.model_type: family for family in FAMILIES}
