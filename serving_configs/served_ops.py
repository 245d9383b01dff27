"""Which releases of TensorFlow Serving can run a graph: those that register all of its ops.

``served_ops.json`` beside this file holds the ops of each release (scripts/make_served_ops.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from serving_configs.releases import RELEASES, minor

OPS_PATH = Path(__file__).with_name("served_ops.json")
#: Ops of one release that are named; the rest is counted.
_NAMED = 5


@cache
def served_ops() -> dict[str, frozenset[str]]:
    """Release -> the names of its ops, TensorFlow's and tf.Text's."""
    found, ops = {}, frozenset[str]()
    for release, facts in json.loads(OPS_PATH.read_text(encoding="utf-8")).items():
        ops = (ops | set(facts["added"])) - set(facts["removed"])
        found[release] = ops
    return found


def unknown_ops(used: Iterable[str]) -> list[str]:
    """Those of ``used`` that no release has."""
    return sorted(set(used) - frozenset().union(*served_ops().values()))


def obstacles(used: Iterable[str], tensorflow_version: str) -> dict[str, str]:
    """Release -> why it cannot run a graph of these ops that this TensorFlow exported; "" where it can."""
    used = set(used)
    return {release: _obstacle(release, used, tensorflow_version) for release in RELEASES}


def _obstacle(release: str, used: set[str], tensorflow_version: str) -> str:
    if minor(release) < minor(tensorflow_version):
        return f"it is older than TensorFlow {tensorflow_version}, which exported"
    missing = sorted(used - served_ops()[release])
    rest = [f"and {len(missing) - _NAMED} more"] if len(missing) > _NAMED else []
    return f"it has no {', '.join([*missing[:_NAMED], *rest])}" if missing else ""
