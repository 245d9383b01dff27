"""What keeps XLA:CPU from holding a large half-precision model in float32 beside itself.

XLA:CPU computes products of bfloat16 and float16 in float32. It converts every weight before the loop that
reads them, and schedules conversions as early as it can: both together keep all weights three times (0.4B
parameters in bfloat16: 3.8 GB with, 2.2 GB without). A process that has just to answer a few requests does
without either; its answers differ as those of another machine may.
"""

from __future__ import annotations

import os

_FLAGS = (
    "--xla_disable_hlo_passes=while-loop-invariant-code-motion,while-loop-expensive-invariant-code-motion",
    "--xla_cpu_enable_concurrency_optimized_scheduler=false",
)
#: Smaller models are computed as a server computes them.
_LARGE = 256 << 20


def sparing_memory(dtype: str, weights_bytes: int) -> dict[str, str]:
    """Environment variables of a process that runs a version of such weights on the CPU."""
    if dtype == "float32" or weights_bytes < _LARGE:
        return {}
    return {"XLA_FLAGS": " ".join((os.environ.get("XLA_FLAGS", ""), *_FLAGS)).strip()}
