"""What a tiny configuration of a family is."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass(frozen=True)
class Case:
    """One configuration: ``touches`` says in the matrix what it covers.

    Attributes:
      attention: the reference's implementation to compare with.
      full: for the full tier alone: each of its mechanisms is in a case of the quick one.
    """

    touches: str
    config: dict[str, Any]
    attention: str = "eager"
    full: bool = False


@dataclass(frozen=True)
class FamilyCases:
    """A model_type with its cases; ``base`` is shared by all of them.

    Attributes:
      config_class, model_class: names in ``transformers``.
      v4: replaces keys of the first case's config.json; ``v4_removed`` are taken out of it.
      reference: what the family's name is in the world.
    """

    model_type: str
    config_class: str
    model_class: str
    base: dict[str, Any]
    cases: tuple[Case, ...]
    v4: dict[str, Any] = field(default_factory=dict)
    v4_removed: tuple[str, ...] = ()
    known_as: str = ""


def tiered(families: Iterable[FamilyCases], quick: Set[str]) -> list[Any]:
    """Parameters of a test: families whose model_type is not ``quick`` are for the full tier."""
    return [
        pytest.param(family, id=family.model_type, marks=marked(family.model_type not in quick))
        for family in families
    ]


def every_case(families: Iterable[FamilyCases], quick: Set[str] | None = None) -> list[Any]:
    """Parameters of a test: each case of each family.

    For the full tier are those that are ``full``, and all of families that are not ``quick``.
    """

    def later(family: FamilyCases, case: Case) -> bool:
        return case.full or (quick is not None and family.model_type not in quick)

    return [
        pytest.param(family, case, id=f"{family.model_type}-{index}", marks=marked(later(family, case)))
        for family in families
        for index, case in enumerate(family.cases)
    ]


def first_cases(families: Iterable[FamilyCases], quick: Set[str] | None = None) -> list[Any]:
    """Parameters of a test: each family's first case; all but ``quick`` families are for the full tier."""
    return [
        pytest.param(
            family,
            family.cases[0],
            id=family.model_type,
            marks=marked(family.cases[0].full if quick is None else family.model_type not in quick),
        )
        for family in families
    ]


def marked(full: bool) -> list[pytest.MarkDecorator]:
    """The marks of what is for the full tier, or not."""
    return [pytest.mark.full] if full else []


VOCAB = 99
