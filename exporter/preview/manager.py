"""Which versions are loaded: loading, warming up, labels, replacing and unloading.

A version goes START -> LOADING -> AVAILABLE -> UNLOADING -> END. As in the server, a new version is loaded
and warmed up before the one it replaces is unloaded, and a version that cannot load leaves the others alone.
"""

from __future__ import annotations

import enum
import gc
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import GenserveError
from exporter.preview import replay
from exporter.preview.model_config import ModelConfig
from exporter.preview.servable import Servable
from exporter.preview.status import Code, StatusError, invalid, not_found

logger = logging.getLogger(__name__)

# How long an unloaded version waits for its last requests.
DRAIN_SECONDS = 60.0


class State(enum.IntEnum):
    """The values of ``ModelVersionStatus.State``."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class Version:
    """A version's life; ``error`` is what ended it, None when nothing did."""

    number: int
    directory: Path
    state: State = State.START
    error: StatusError | None = None
    servable: Servable | None = None


def load_servable(name: str, version: Version) -> Servable:
    """Loads a version; anything that goes wrong becomes a StatusError."""
    try:
        return Servable(name, version.number, version.directory)
    except Exception as error:  # tf.saved_model.load raises nearly anything on damaged files
        raise _status(error) from error


def _status(error: Exception) -> StatusError:
    if isinstance(error, StatusError):
        return error
    # A wrong file says what is wrong with it; anything else is known by its type only.
    message = str(error) if isinstance(error, GenserveError) else f"{type(error).__name__}: {error}"
    return StatusError(Code.FAILED_PRECONDITION, message)


class Manager:
    """The loaded versions of every configured model.

    Args:
      prepare: called with each loaded servable before its warmup (the batcher wraps it here).
      loaded: called with a version's folder and whether its SavedModel could be loaded.
      warmed: called with a version's folder and how long its warmup took, in seconds.
      labels_before_available: whether a label may name a version that is not AVAILABLE.
      warm: whether warmup records are replayed.
    """

    def __init__(
        self,
        *,
        prepare: Callable[[Servable], None] | None = None,
        loaded: Callable[[Path, bool], None] | None = None,
        warmed: Callable[[Path, float], None] | None = None,
        labels_before_available: bool = False,
        warm: bool = True,
    ) -> None:
        self._prepare = prepare or (lambda servable: None)
        self._loaded = loaded or (lambda directory, success: None)
        self._labels_before_available = labels_before_available
        self._warm, self._warmed = warm, warmed
        self._configs: dict[str, ModelConfig] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._lock = threading.Lock()  # guards the tables, never held while loading
        self._changing = threading.Lock()  # one change of what is loaded at a time

    def apply(self, configs: Sequence[ModelConfig]) -> None:
        """Takes over a configuration and loads what it asks for; models no longer listed are unloaded.

        Raises:
          StatusError: FAILED_PRECONDITION, a label names a version that is not AVAILABLE; nothing changes.
        """
        self._check_labels(configs)
        with self._lock:
            self._configs = {config.name: config for config in configs}
        self.reconcile()

    def _check_labels(self, configs: Sequence[ModelConfig]) -> None:
        """As the real server: where labels may come first, that holds for those that are not in use."""
        for config in configs:
            used = self._configs[config.name].labels if config.name in self._configs else {}
            for label, number in config.labels.items():
                if self._labels_before_available and used.get(label, number) == number:
                    continue
                version = self._versions.get(config.name, {}).get(number)
                if version is None or version.state is not State.AVAILABLE:
                    raise StatusError(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {config.name}, which is not "
                        "currently available for inference",
                    )

    def reconcile(self) -> None:
        """Loads the versions that should be there and are not, then unloads those that should not."""
        with self._changing:
            with self._lock:
                configs = dict(self._configs)
            for name, config in configs.items():
                self._reconcile_model(name, config.aspired_versions())
            for name in [name for name in self._versions if name not in configs]:
                self._unload_others(name, keep=())

    def _reconcile_model(self, name: str, aspired: dict[int, Path]) -> None:
        known = self._versions.setdefault(name, {})
        for number, directory in sorted(aspired.items()):
            version = known.get(number)
            # A version that failed is tried again only after its folder went away.
            if version is None or (version.state is State.END and version.error is None):
                self._load(name, Version(number, directory))
        for number, version in known.items():
            if version.error is not None and number not in aspired:
                version.error = None
        # A folder that cannot be listed for a moment must not empty the server.
        if any(known[number].state is State.AVAILABLE for number in aspired):
            self._unload_others(name, keep=aspired)

    def _load(self, name: str, version: Version) -> None:
        with self._lock:
            self._versions[name][version.number] = version
        version.state = State.LOADING
        started = time.monotonic()
        try:
            servable, records = self._start(name, version)
        except Exception as error:  # whoever loads must go on with the other versions
            logger.error(
                "Loading servable: {name: %s version: %d} failed: %s",
                name,
                version.number,
                error,
                exc_info=not isinstance(error, StatusError | GenserveError),
            )
            version.error = _status(error)
            version.state = State.END
            return
        version.servable = servable
        version.state = State.AVAILABLE
        logger.info(
            "Successfully loaded servable version {name: %s version: %d} with %d warmup records in %.1f s",
            name,
            version.number,
            records,
            time.monotonic() - started,
        )

    def _start(self, name: str, version: Version) -> tuple[Servable, int]:
        """A servable that is ready for requests, and the number of its warmup records."""
        servable = self._read(name, version)
        try:
            self._prepare(servable)
            return servable, self._replay(servable) if self._warm else 0
        except BaseException:
            servable.on_unload()
            raise

    def _replay(self, servable: Servable) -> int:
        started = time.monotonic()
        records = replay.replay(servable)
        if records and self._warmed:
            self._warmed(servable.directory, time.monotonic() - started)
        return records

    def _read(self, name: str, version: Version) -> Servable:
        try:
            servable = load_servable(name, version)
        except StatusError:
            self._loaded(version.directory, False)
            raise
        self._loaded(version.directory, True)
        return servable

    def _unload_others(self, name: str, keep: Sequence[int] | dict[int, Path]) -> None:
        for number, version in list(self._versions.get(name, {}).items()):
            if number in keep or version.servable is None:
                continue
            version.state = State.UNLOADING
            if not version.servable.wait_until_idle(DRAIN_SECONDS):
                logger.warning("unloading %s version %d with requests in flight", name, number)
            version.servable.on_unload()
            version.servable = None
            version.state = State.END
            gc.collect()
            logger.info("Done unloading servable version {name: %s version: %d}", name, number)

    def find(self, name: str, number: int | None = None, label: str | None = None) -> Servable:
        """The version that answers a request: the one named, or the highest that is AVAILABLE.

        Raises:
          StatusError: INVALID_ARGUMENT for an unknown label, NOT_FOUND for the rest.
        """
        with self._lock:
            if label:
                labels = self._configs[name].labels if name in self._configs else {}
                if label not in labels:
                    raise invalid(f"Unrecognized servable version label: {label}")
                number = labels[label]
            available = {
                version.number: version.servable
                for version in self._versions.get(name, {}).values()
                if version.state is State.AVAILABLE and version.servable is not None
            }
        if number is None and available:
            return available[max(available)]
        if number is not None and number in available:
            return available[number]
        request = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        raise not_found(f"Servable not found for request: {request}")

    def status(self, name: str, number: int | None = None, label: str | None = None) -> list[Version]:
        """The states of a model's versions, the newest first.

        Raises:
          StatusError: NOT_FOUND for an unknown model or version.
        """
        with self._lock:
            versions = dict(self._versions.get(name, {}))
            if label:
                labels = self._configs[name].labels if name in self._configs else {}
                if label not in labels:
                    raise invalid(f"Unrecognized servable version label: {label}")
                number = labels[label]
        if number is not None:
            if number not in versions:
                raise not_found(f"Could not find version {number} of model {name}")
            return [versions[number]]
        if not versions:
            raise not_found(f"Could not find any versions of model {name}")
        return [versions[key] for key in sorted(versions, reverse=True)]

    def failures(self) -> list[str]:
        """One line per version that could not load."""
        with self._lock:
            return [
                f"model {name} version {version.number}: {version.error}"
                for name, versions in self._versions.items()
                for version in versions.values()
                if version.error is not None
            ]

    def ready(self) -> bool:
        """Whether every configured model has an AVAILABLE version."""
        with self._lock:
            return bool(self._configs) and all(
                any(version.state is State.AVAILABLE for version in self._versions.get(name, {}).values())
                for name in self._configs
            )

    def close(self) -> None:
        """Unloads everything."""
        with self._changing:
            for name in list(self._versions):
                self._unload_others(name, keep=())
