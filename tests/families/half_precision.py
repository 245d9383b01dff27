"""What half precision is compared by: a model in it, the reference in it, and the reference in float32.

Rounding makes two programs of one formula differ, so two things are asked of the logits that follow the
reference's greedy ids. The median over positions of their distance from the reference's is at most
``CLOSENESS`` times that of the reference from itself in float32: a weight that loses bits shows there.
And the best token is the reference's, unless the reference's two best logits are closer than ``MARGIN``
units in the last place of the best one, and that in a share of positions of at most ``RATE``.
A mixture of experts may route a token to another expert for one rounding: hence the median, and positions
that are ``ROUTED`` times as far off as most are left out of the margin rule, at most ``RATE`` of them.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch
import transformers

from tests.families.case import Case, FamilyCases

DTYPES = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
CLOSENESS, MARGIN, RATE, ROUTED = 1.4, 4.0, 0.15, 7.0
Floats = npt.NDArray[np.float32]


def is_mixture(config: Any) -> bool:
    """Whether a reference's config is of a mixture of experts."""
    config = config.get_text_config()
    return any(hasattr(config, name) for name in ("num_experts_per_tok", "moe_topk"))


def reference_in(dtype: str, family: FamilyCases, case: Case, path: Any) -> Any:
    """The reference's model as it loads a checkpoint in ``dtype``."""
    options: dict[str, Any] = {"attn_implementation": case.attention}
    if is_mixture(transformers.AutoConfig.from_pretrained(path)):
        options["experts_implementation"] = "eager"  # others want sizes that tiny models do not have
    kind = getattr(transformers, family.model_class)
    return kind.from_pretrained(path, dtype=getattr(torch, dtype), **options).eval()


def ulps(gap: Floats, logits: Floats, dtype: str) -> Floats:
    """``gap`` in units in the last place of the best of ``logits`` ([..., vocab])."""
    best = np.abs(logits.max(axis=-1))
    return gap / (torch.finfo(getattr(torch, dtype)).eps * 2.0 ** np.floor(np.log2(best)))


def routed_otherwise(ours: Floats, theirs: Floats) -> npt.NDArray[np.bool_]:
    """bool [positions]: where a mixture seems to have chosen another expert. Both [positions, vocab]."""
    distance = np.sqrt(np.mean((theirs - ours) ** 2, axis=-1))
    return np.asarray(distance > ROUTED * np.median(distance))


def check(
    dtype: str,
    ours: Floats,
    theirs: Floats,
    exact: Floats,
    name: str,
    *,
    mixture: bool = False,
    closeness: float = CLOSENESS,
) -> None:
    """Raises where the rule is broken; prints how often it was needed. All [positions, vocab]."""
    distance, own = (np.sqrt(np.mean((theirs - other) ** 2, axis=-1)) for other in (ours, exact))
    ratio = np.median(distance) / np.median(own)
    first, second = np.sort(theirs, axis=-1)[:, :-3:-1].T
    gaps = ulps(first - second, theirs, dtype)
    differ = ours.argmax(axis=-1) != theirs.argmax(axis=-1)
    routed = mixture & routed_otherwise(ours, theirs)
    worst = gaps[differ & ~routed].max(initial=0.0)
    count = f"{differ.sum()} of {len(differ)} differ, {np.sum(routed)} routed otherwise"
    print(f"{name} {dtype}: distance {ratio:.2f}, {count}, gap <= {worst:.1f} ulp")
    assert np.isfinite(ours).all()
    assert ratio <= closeness
    assert worst <= MARGIN
    assert differ.mean() <= RATE
    assert routed.mean() <= RATE
