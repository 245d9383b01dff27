"""Built checkpoints, one per case, shared by the tests of this room."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.encoder_decoder import reference
from tests.families.case import Case, FamilyCases
from tests.families.conftest import Built, read
from tests.families.reference import save


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[FamilyCases, Case], Built]:
    """Builds a case once a session."""
    built: dict[str, Built] = {}

    def get(family: FamilyCases, case: Case) -> Built:
        key = f"{family.model_type}: {case.touches}"
        if key not in built:
            oracle = reference.build(family, case)
            path = save(oracle, tmp_path_factory.mktemp(family.model_type))
            built[key] = Built(oracle, path, read(path))
        return built[key]

    return get
