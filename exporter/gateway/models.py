"""The models of a gateway, by the names that requests say: NAME, or NAME@VERSION."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter.client.address import Model
from exporter.client.flow import Deadline, Retry
from exporter.errors import OptionError, did_you_mean
from exporter.gateway.backend import Backends
from exporter.gateway.errors import ApiError
from exporter.gateway.served_model import ServedModel
from exporter.manifest import MANIFEST_PATH, Manifest

#: One batch in work at a server, and one that fills meanwhile.
BATCHES_AT_ONCE = 2
_SECONDS = 30.0


class Models:
    """Every model that requests may name.

    Args:
      models: by name.
      rows_at_once: how many requests are worked on at one time.
    """

    def __init__(self, models: dict[str, ServedModel], *, rows_at_once: int) -> None:
        self._models, self.rows_at_once = models, rows_at_once

    @classmethod
    def open(
        cls,
        manifests: Sequence[Manifest],
        urls: Sequence[str],
        *,
        token: str | None = None,
        ca: Path | None = None,
        retries: int = 5,
    ) -> Models:
        """The models of manifests on the servers at ``urls``, each of which has all of them.

        NAME asks for the version that the servers choose, which the newest manifest of that name describes;
        with several manifests of a name NAME@VERSION asks for one of them.
        """
        found: dict[str, ServedModel] = {}
        rows = 0
        for name in dict.fromkeys(manifest.name for manifest in manifests):
            versions = sorted((m for m in manifests if m.name == name), key=lambda m: m.version)
            named = [(name, versions[-1], Model(name))]
            if len(versions) > 1:
                named += [(f"{name}@{m.version}", m, Model(name, m.version)) for m in versions]
            for key, manifest, model in named:
                at_once = BATCHES_AT_ONCE * manifest.buckets.batch_sizes[-1] * len(urls)
                backends = Backends(
                    urls, model, rows_at_once=at_once, token=token, ca=ca, retry=Retry(retries)
                )
                found[key] = ServedModel(manifest, backends)
                rows += at_once
        return cls(found, rows_at_once=rows)

    def find(self, name: str) -> ServedModel:
        """A model by the name that a request says.

        Raises:
          ApiError: 404; lists those that there are.
        """
        if name not in self._models:
            raise ApiError(
                404,
                f"The model {name[:200]!r} does not exist{did_you_mean(name, self._models)}; "
                f"there is {', '.join(self._models)}",
                param="model",
                code="model_not_found",
            )
        return self._models[name]

    def items(self) -> Iterable[tuple[str, ServedModel]]:
        """Name and model."""
        return self._models.items()

    def cards(self) -> list[dict[str, Any]]:
        """As ``/v1/models`` lists them. ``max_model_len`` is the longest prompt and the most new tokens."""
        return [
            {
                "id": name,
                "object": "model",
                "created": int(datetime.fromisoformat(model.manifest.created).timestamp()),
                "owned_by": "genserve",
                "max_model_len": model.longest + model.manifest.max_new_tokens,
            }
            for name, model in self._models.items()
        ]

    async def missing(self, deadline: Deadline) -> list[str]:
        """The models that no server has available."""
        ready = await asyncio.gather(*(model.ready(deadline) for model in self._models.values()))
        return [name for name, is_ready in zip(self._models, ready, strict=True) if not is_ready]

    async def close(self) -> None:
        for model in self._models.values():
            await model.close()


def read_manifests(places: Sequence[str]) -> list[Manifest]:
    """The manifests at paths and URLs: a file, a version's directory, or an export directory with all of its
    versions.

    Raises:
      OptionError: nothing there, or no manifest.
    """
    return [manifest for place in places for manifest in _read(place)]


def _read(place: str) -> list[Manifest]:
    if "://" in place:
        return [_parse(place, _download(place))]
    path = Path(place)
    if path.is_dir():
        files = sorted({*path.glob(str(MANIFEST_PATH)), *path.glob(f"*/*/{MANIFEST_PATH}")})
        if not files:
            raise OptionError(f"manifest {place}: no {MANIFEST_PATH} in it, nor in NAME/VERSION below it")
    else:
        files = [path]
    return [_parse(str(file), _content(file)) for file in files]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise OptionError(f"manifest {file} cannot be read: {error.strerror}") from None


def _download(url: str) -> bytes:
    import httpx

    if not url.startswith(("http://", "https://")):
        raise OptionError(f"manifest {url}: must be a path or start with http:// or https://")
    try:
        return httpx.get(url, timeout=_SECONDS, follow_redirects=True).raise_for_status().content
    except httpx.HTTPError as error:
        raise OptionError(f"manifest {url} cannot be read: {error}") from None


def _parse(place: str, content: bytes) -> Manifest:
    try:
        return Manifest.model_validate(json.loads(content))
    except (ValueError, ValidationError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise OptionError(f"manifest {place}: is none: {problem}") from None
