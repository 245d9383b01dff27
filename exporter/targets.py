"""What the programs that are being traced are made for: it chooses how they compute, never what.

Set like a device, for whatever is traced inside::

    with compiled_for("gpu"):
        ...
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from exporter.choices import Target

_TARGET: ContextVar[Target] = ContextVar("target", default="cpu")


def current_target() -> Target:
    """The target of what is being traced."""
    return _TARGET.get()


@contextmanager
def compiled_for(target: Target) -> Iterator[None]:
    """Programs traced inside are made for ``target``."""
    token = _TARGET.set(target)
    try:
        yield
    finally:
        _TARGET.reset(token)
