"""start-server.sh, which every run file starts, and healthcheck.sh, which asks for the models' states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from exporter.manifest import Manifest
from serving_configs import xla_cache
from serving_configs.models_config import versions_by_model
from serving_configs.serving_options import ServingOptions
from serving_configs.text import template


def start_server() -> str:
    """The same for every deployment; see ``xla_cache`` for what it checks."""
    return template(
        "start-server.sh.j2",
        manifest=xla_cache.MANIFEST,
        format=xla_cache.FORMAT,
        cache_flags=xla_cache.flags(Path("$directory")),
    )


def healthcheck(manifests: Sequence[Manifest], options: ServingOptions) -> str:
    """Succeeds when every model has an AVAILABLE version: the status call itself answers 200 in any state."""
    return template(
        "healthcheck.sh.j2",
        options=options,
        models=[quote(name, safe="") for name in versions_by_model(manifests)],
    )
