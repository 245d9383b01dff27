"""What all objects of one deployment share: its name, labels, and where its pods find things."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from exporter.manifest import Manifest
from serving_configs.kubernetes_options import KubernetesOptions
from serving_configs.models_config import versions_by_model
from serving_configs.releases import Release
from serving_configs.serving_options import ServingOptions
from serving_configs.text import GENERATED

#: Where pods find the rendered files.
CONFIG_DIRECTORY = "/etc/genserve"
#: Prometheus' job, which the alerts go by; see ``scraping``.
PART_OF = "genserve"
_UNNAMED = "genserve"

#: How pods come by the export directory: a volume, a copy out of an image, or a pull from its store.
ModelSource = Literal["claim", "image", "store"]


@dataclass(frozen=True)
class App:
    """One export directory, served by pods that are all alike.

    ``follows_volume``: whether models.config is read where promotions write it, if pods have that folder.
    """

    manifests: Sequence[Manifest]
    options: ServingOptions
    release: Release
    follows_volume: bool = True

    @property
    def chosen(self) -> KubernetesOptions:
        return self.options.kubernetes

    @property
    def name(self) -> str:
        """``chosen.name``, or the one model's as far as Kubernetes takes it."""
        if self.chosen.name:
            return self.chosen.name
        models = list(versions_by_model(self.manifests))
        name = re.sub(r"[^a-z0-9]+", "-", models[0].lower()).strip("-")[:40].rstrip("-")
        return name if len(models) == 1 and name else _UNNAMED

    @property
    def source(self) -> ModelSource:
        if self.chosen.claim:
            return "claim"
        if self.chosen.model_image:
            return "image"
        return "store" if self.options.source else "claim"

    @property
    def claim(self) -> str:
        """The volume that holds the export directory, where the models come from one."""
        return self.chosen.claim or self.suffixed("models")

    @property
    def models_config_directory(self) -> str:
        """Where the server reads models.config: in the export directory where that is what it must follow.

        On a volume a polling server sees promotions at once; what a pod pulls at its start is newer than the
        rendered file.
        """
        follows = self.follows_volume and (self.source == "store" or self.follows_promotions)
        return f"{self.options.model_root}/serving" if follows else CONFIG_DIRECTORY

    @property
    def follows_promotions(self) -> bool:
        """Whether a running server sees what is promoted on the volume."""
        return self.source == "claim" and self.options.poll_seconds > 0

    @property
    def bytes(self) -> int:
        """Of all versions on disk."""
        return sum(
            max(sum(file.bytes for file in manifest.files), manifest.memory.weights_bytes)
            for manifest in self.manifests
        )

    def labels(self, component: str = "server") -> dict[str, str]:
        return self.selector(component) | {"app.kubernetes.io/part-of": PART_OF}

    def selector(self, component: str = "server") -> dict[str, str]:
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/component": component}

    def object(
        self, api_version: str, kind: str, name: str = "", *, component: str = "server", **fields: Any
    ) -> dict[str, Any]:
        """An object called ``NAME`` or ``NAME-name``; ``labels`` and ``annotations`` go into its metadata."""
        labels = self.labels(component) | fields.pop("labels", {})
        metadata = {"name": self.suffixed(name), "labels": labels}
        if annotations := fields.pop("annotations", None):
            metadata["annotations"] = annotations
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}

    def suffixed(self, name: str) -> str:
        return f"{self.name}-{name}" if name else self.name


def mebibytes(count: float) -> str:
    """A quantity of Kubernetes, rounded up."""
    return f"{-(-round(count) // (1 << 20))}Mi"


def cores(count: float) -> str:
    """A quantity of Kubernetes: whole cores, or thousandths."""
    return f"{count:g}" if float(count).is_integer() else f"{round(count * 1000)}m"


class _Dumper(yaml.SafeDumper):
    """No anchors, and texts of several lines as they are."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def to_yaml(document: Any) -> str:
    return f"# {GENERATED}\n" + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110)
