"""Names of a package that are imported when they are first asked for.

    __getattr__ = attributes(__name__, {"Client": "exporter.client.blocking"})

Type checkers see the same names through imports under ``TYPE_CHECKING`` and ``__all__``.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from exporter.errors import missing_extra

P = ParamSpec("P")
T = TypeVar("T")


def names_its_extra(function: Callable[P, T]) -> Callable[P, T]:
    """A function that raises MissingExtraError where packages that it imports are not installed."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            raise missing_extra(f"exporter.{function.__name__}", error) from error

    return call


def attributes(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``package``; ``modules`` is name -> the module that has it.

    Raises:
      MissingExtraError: from the result, where the module needs packages that are not installed.
    """

    def getattribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(modules[name]), name)
        except ModuleNotFoundError as error:
            raise missing_extra(f"{package}.{name}", error) from error
        setattr(sys.modules[package], name, value)
        return value

    return getattribute
