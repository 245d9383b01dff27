"""Every encoder-decoder family in bfloat16 and float16 against the reference in the same dtype."""

from __future__ import annotations

import numpy as np
import pytest

from tests.encoder_decoder import reference
from tests.encoder_decoder.cases import FAMILIES
from tests.encoder_decoder.test_parity import NEW, Builder, Row, prompt_of, sequences, steps
from tests.families.case import Case, FamilyCases
from tests.families.conftest import read
from tests.families.half_precision import DTYPES, check, reference_in

pytestmark = pytest.mark.parity

QUICK = {("t5", "bfloat16"), ("t5", "float16"), ("bart", "bfloat16")}
CASES = [
    pytest.param(
        family,
        case,
        dtype,
        id=f"{family.model_type}-{index}-{dtype}",
        marks=[] if (family.model_type, dtype) in QUICK and not index else [pytest.mark.full],
    )
    for family in FAMILIES
    for index, case in enumerate(family.cases)
    for dtype in DTYPES
]


@pytest.mark.parametrize(("family", "case", "dtype"), CASES)
def test_steps_in_half_precision(build: Builder, family: FamilyCases, case: Case, dtype: str) -> None:
    built = build(family, case)
    half = reference_in(dtype, family, case, built.path)
    rows = sequences()
    for index, row in enumerate(rows):  # what is fed is what the reference chooses
        target = row.target[:-NEW]
        for _ in range(NEW):
            best = reference.logits(half, row.source, target)[-1].argmax()
            target = np.append(target, best).astype(np.int32)
        rows[index] = Row(row.source, target)
    ours = steps(read(built.path, DTYPES[dtype]), rows, prompt_of(rows))
    starts = [len(row.target) - NEW for row in rows]
    theirs, exact = (
        [reference.cached_logits(model, *row, start) for row, start in zip(rows, starts, strict=True)]
        for model in (half, built.oracle)
    )
    check(dtype, *map(np.concatenate, (ours, theirs, exact)), f"{family.model_type}: {case.touches}")
