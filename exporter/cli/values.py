"""Values of flags that are more than one word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from exporter.errors import OptionError, did_you_mean


def listed(choices: Any) -> str:
    """``Literal["a", "b"]`` -> ``"[a|b],..."``: how ``--help`` shows a list with fixed values."""
    return f"[{'|'.join(get_args(choices))}],..."


def integers(option: str, text: str | None) -> tuple[int, ...] | None:
    """``"1,8"`` -> (1, 8)."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise OptionError(f"{option}: {text!r} must be integers joined by commas, such as 32,128") from None


def words(text: str | None) -> tuple[str, ...] | None:
    """``"a,b"`` -> ("a", "b"); an empty text is an empty list."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def choices_of(option: str, text: str | None, choices: Any) -> list[str] | None:
    """``"a,b"`` -> ["a", "b"], each once and one of ``Literal["a", "b"]``."""
    given, allowed = words(text), get_args(choices)
    for word in given or ():
        if word not in allowed:
            raise OptionError(
                f"{option}: {word!r} is none{did_you_mean(word, allowed)}; allowed: {', '.join(allowed)}"
            )
    return None if given is None else list(dict.fromkeys(given))


def assignments(option: str, pairs: list[str] | None) -> dict[str, Any] | None:
    """``["num_beams=4"]`` -> {"num_beams": 4}; values are read as YAML."""
    if not pairs:
        return None
    import yaml

    values = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise OptionError(f"{option}: {pair!r} must be KEY=VALUE, such as num_beams=4")
        try:
            values[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise OptionError(f"{option}: {pair!r}: the value is no YAML: {reason}") from None
    return values


def mapping(option: str, path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"{option}: {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise OptionError(f"{option}: {path} must hold a mapping from names")
    return content


def alone(option: str, value: object, others: Mapping[str, object]) -> None:
    """Raises OptionError where an option is given together with one that it excludes; None: not given."""
    given = [name for name, other in others.items() if other is not None]
    if value is not None and given:
        raise OptionError(f"give {option} or {given[0]}, not both")


def endpoint(url: str | None, grpc: str | None, ca: Path | None) -> str:
    """The URL of a server, from ``--url`` or ``--grpc HOST:PORT``."""
    if url is not None and grpc is None:
        return url
    if grpc is None or url is not None:
        raise OptionError("give either --url or --grpc")
    return grpc if "://" in grpc else f"{'grpcs' if ca is not None else 'grpc'}://{grpc}"


def seconds(option: str, text: str) -> float:
    """``"500ms"`` -> 0.5, ``"30s"`` or ``"30"`` -> 30.0, ``"2m"`` -> 120.0."""
    import re

    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)(ms|s|m|h)?", text.strip())
    value = (
        float(match[1]) * {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}[match[2] or "s"] if match else 0.0
    )
    if not 0 < value < float("inf"):
        raise OptionError(f"{option}: {text!r} must be a time above 0, such as 500ms, 30s or 5m")
    return value
