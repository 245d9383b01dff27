"""The versions of an export directory: what there is, which labels name them, and which may go.

Labels live in the kept serving options (``OUT/serving/options.yaml``: ``version_labels``, ``label_history``,
``loading``); models.config is rendered from them. A server that watches models.config refuses to move a label
in use to a version that it has not loaded, and goes on with what it has. So such a version is loaded first,
beside the others, and the label moves in a second step; what it named stays loaded, so that it can move back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from exporter.deployment import (
    change_options,
    exported_versions,
    read_manifests,
    serving_options,
    stored_options,
    write_serving_configs,
)
from exporter.errors import OptionError, OutputError, did_you_mean
from exporter.manifest import MANIFEST_PATH
from exporter.publishing import discard
from serving_configs import ServingOptions
from serving_configs.models_config import served_versions, versions_by_model

STABLE = "stable"
#: What a label may consist of: it stands in the URLs of requests.
_LABEL_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@dataclass(frozen=True)
class VersionFacts:
    """One version; ``verified``: how many golden answers it gave, reloaded, before it was published."""

    name: str
    version: int
    created: str
    source: str
    bytes: int
    labels: tuple[str, ...]
    loaded: bool
    verified: int


@dataclass(frozen=True)
class Move:
    """What became of a label.

    ``state``: "moved"; "unchanged", it stood there; "loading", the version is loaded first; "removed", it
    names nothing anymore. ``former`` is what it named before; ``poll_seconds`` how soon a running server
    knows, 0: not before it starts again.
    """

    name: str
    label: str
    version: int | None
    former: int | None
    state: Literal["moved", "unchanged", "loading", "removed"]
    poll_seconds: int


def locate(path: Path) -> tuple[Path, str | None]:
    """``OUT`` -> (OUT, None); ``OUT/NAME`` -> (OUT, NAME).

    Raises:
      OutputError: neither.
    """
    if any(child.parent.parent.name.isdecimal() for child in path.glob(f"*/{MANIFEST_PATH}")):
        resolved = path.absolute()
        return path.parent if path.name not in ("", ".", "..") else resolved.parent, resolved.name
    if not path.is_dir() and read_names(path.parent):
        names = read_names(path.parent)
        raise OutputError(
            f"{path}: no model {path.name!r}{did_you_mean(path.name, names)}; exported: {', '.join(names)}"
        )
    read_manifests(path)
    return path, None


def read_names(output: Path) -> list[str]:
    """The models of an export directory."""
    return sorted({path.parent.name for path in exported_versions(output)})


def locate_model(path: Path) -> tuple[Path, str]:
    """``locate`` of one model.

    Raises:
      OutputError: no model, or an export directory.
    """
    output, name = locate(path)
    if name is None:
        names = read_names(output)
        raise OutputError(f"{path} is an export directory: give one of its models, {path / names[0]}")
    return output, name


def list_versions(output: Path, name: str | None = None) -> list[VersionFacts]:
    """Every version below ``output``, or of one model, by name and number."""
    manifests = read_manifests(output)
    options = serving_options(stored_options(output), manifests)
    models = versions_by_model(manifests)
    facts = []
    for directory, manifest in zip(exported_versions(output), manifests, strict=True):
        labels = options.version_labels.get(manifest.name, {})
        facts.append(
            VersionFacts(
                name=manifest.name,
                version=manifest.version,
                created=manifest.created,
                source=manifest.model.source,
                bytes=sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()),
                labels=tuple(label for label, number in labels.items() if number == manifest.version),
                loaded=manifest.version in served_versions(manifest.name, models[manifest.name], options),
                verified=len(manifest.golden),
            )
        )
    return [fact for fact in facts if name in (None, fact.name)]


def promote(output: Path, name: str, version: int, label: str = STABLE) -> Move:
    """Makes a label name a version, or has it loaded first (``Move.state``).

    Raises:
      OptionError: no such version, or no label that can stand in a URL.
      OutputError: the deployment's files cannot be written.
    """
    if not label or not _LABEL_CHARACTERS.issuperset(label):
        raise OptionError(
            f"--label {label!r}: must be letters, digits, '.', '_' or '-', such as stable or canary"
        )
    versions = _versions(output, name)
    if version not in versions:
        raise OptionError(f"{output / name} has no version {version}; exported: {_listed(versions)}")
    return _change(output, name, label, lambda options: (version, _labelled_before(options, name, label)))


def rollback(output: Path, name: str, label: str = STABLE) -> Move:
    """Moves a label back to what it named before.

    A model that was never promoted goes back to the version before the newest; a label beside "stable" that
    named nothing before is removed.

    Raises:
      OptionError: there is nothing to go back to.
      OutputError: the deployment's files cannot be written.
    """
    versions = _versions(output, name)

    def target(options: ServingOptions) -> tuple[int | None, list[int]]:
        labels = options.version_labels.get(name, {})
        current = labels.get(label)
        if current is None and (labels or label != STABLE):
            raise OptionError(
                f"{output / name} has no label {label!r}; labels: {', '.join(labels) or 'none'}"
            )
        history = [v for v in options.label_history.get(name, {}).get(label, []) if v in versions]
        if history:
            return history[-1], history[:-1]
        if label != STABLE:
            return None, []
        older = [v for v in versions if v < (current or versions[-1])]
        if not older:
            raise OptionError(
                f"{output / name}: nothing to go back to from version {current or versions[-1]}; exported: "
                f"{_listed(versions)}"
            )
        return older[-1], []

    return _change(output, name, label, target)


def prune(output: Path, name: str, keep: int, *, dry_run: bool = False) -> list[VersionFacts]:
    """Removes all but the newest ``keep`` versions, and never one that is labelled, loaded or the newest.

    With policy "all" or "specific" every version is loaded: labels and the newest alone count there.

    Returns:
      What was removed.
    """
    if keep < 1:
        raise OptionError(f"--keep {keep}: must be at least 1")
    facts = list_versions(output, name)
    options = serving_options(stored_options(output), read_manifests(output))
    newest = {fact.version for fact in facts[-keep:]}
    removed = [
        fact
        for fact in facts
        if fact.version not in newest
        and not fact.labels
        and not (fact.loaded and options.version_policy == "latest")
    ]
    if dry_run or not removed:
        return removed
    for fact in removed:
        _discard(output / name, fact.version)
    write_serving_configs(output)
    return removed


def _discard(servable: Path, version: int) -> None:
    try:
        discard(servable, servable / str(version))
    except OSError as error:
        raise OutputError(f"{servable / str(version)} cannot be removed: {error}") from error


def _versions(output: Path, name: str) -> list[int]:
    return versions_by_model(read_manifests(output))[name]


def _labelled_before(options: ServingOptions, name: str, label: str) -> list[int]:
    """The label's history with what it names now."""
    current = options.version_labels.get(name, {}).get(label)
    history = options.label_history.get(name, {}).get(label, [])
    return history if current is None else [*history, current]


def _change(output: Path, name: str, label: str, target: Any) -> Move:
    """Moves a label to ``target(options) -> (version, history)``, or loads that version first."""
    moves: list[Move] = []

    def change(values: dict[str, Any]) -> None:
        manifests = read_manifests(output)
        options = serving_options(values, manifests)
        version, history = target(options)
        current = options.version_labels.get(name, {}).get(label)
        loaded = served_versions(name, versions_by_model(manifests)[name], options)
        loading = set(options.loading.get(name, ()))
        state: Literal["moved", "unchanged", "loading", "removed"] = "moved"
        if version == current:
            state = "unchanged"
        elif version is None:
            state = "removed"
            _set(values, "version_labels", name, label, None)
            _set(values, "label_history", name, label, None)
        elif options.poll_seconds and current is not None and version not in loaded:
            state = "loading"
            loading.add(version)
        else:
            _set(values, "version_labels", name, label, version)
            _set(values, "label_history", name, label, history or None)
            loading.discard(version)
        _set(values, "loading", name, None, sorted(loading) or None)
        moves.append(Move(name, label, version, current, state, options.poll_seconds))

    change_options(output, change)
    return moves[0]


def _set(values: dict[str, Any], option: str, name: str, label: str | None, value: Any) -> None:
    """Sets ``values[option][name]``, or its ``[label]``; None removes it, and what is empty then."""
    models = dict(values.get(option) or {})
    entry: Any = value
    if label is not None:
        labels: Mapping[str, Any] = models.get(name) or {}
        entry = {key: item for key, item in {**labels, label: value}.items() if item is not None}
    models = {key: item for key, item in {**models, name: entry}.items() if item}
    values[option] = models
    if not models:
        del values[option]


def _listed(versions: list[int]) -> str:
    return ", ".join(map(str, versions))
