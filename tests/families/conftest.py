"""Built checkpoints, one per case, shared by the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from exporter.checkpoint import Checkpoint
from exporter.families import load_weights, read_spec
from exporter.model import Transformer, build_model
from tests.families import reference
from tests.families.cases import Case, FamilyCases


@dataclass(frozen=True)
class Built:
    """The reference's model, the directory it was saved to, and ours read from there."""

    oracle: Any
    path: Path
    ours: Transformer


def read(path: Path, dtype: npt.DTypeLike = np.float32) -> Transformer:
    """Our model from a checkpoint directory."""
    checkpoint = Checkpoint(path)
    spec = read_spec(checkpoint.config)
    return build_model(spec, load_weights(spec, checkpoint, dtype))


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[FamilyCases, Case], Built]:
    """Builds a case once a session."""
    built: dict[str, Built] = {}

    def get(family: FamilyCases, case: Case) -> Built:
        key = f"{family.model_type}: {case.touches}"
        if key not in built:
            oracle = reference.build(family, case)
            path = reference.save(oracle, tmp_path_factory.mktemp(family.model_type))
            built[key] = Built(oracle, path, read(path))
        return built[key]

    return get
