"""Exported versions on disk, and the deployment files rendered from their manifests."""

from __future__ import annotations

from pathlib import Path

import serving_configs
from exporter.errors import OutputError
from exporter.saved_model.manifest import MANIFEST_PATH, Manifest
from serving_configs import ServingOptions


def exported_versions(output: Path) -> list[Path]:
    """Version directories below ``output/NAME`` that carry a manifest, by name and number."""
    found = [path.parent.parent for path in output.glob(f"*/*/{MANIFEST_PATH}")]
    versions = [path for path in found if path.name.isdecimal()]
    return sorted(versions, key=lambda path: (path.parent.name, int(path.name)))


def read_manifests(output: Path) -> list[Manifest]:
    """The manifests of every version below ``output``.

    Raises:
      OutputError: there is none, or one cannot be read.
    """
    manifests = []
    for directory in exported_versions(output):
        try:
            manifests.append(Manifest.read(directory))
        except ValueError as error:  # pydantic's ValidationError is one
            raise OutputError(f"{directory / MANIFEST_PATH} cannot be read: {error}") from error
    if not manifests:
        raise OutputError(f"{output} holds no version that genserve exported (NAME/VERSION/{MANIFEST_PATH})")
    return manifests


def write_serving_configs(output: Path, options: ServingOptions | None = None) -> list[Path]:
    """Renders the deployment files of all versions below ``output``; returns what was written.

    Where some version raises row errors, the server must not merge requests: unless ``options`` say
    otherwise, batching is off then.
    """
    manifests = read_manifests(output)
    if options is None:
        options = ServingOptions(batching=all(m.options["row_errors"] == "answer" for m in manifests))
    files = serving_configs.render(manifests, options)
    serving_configs.write(files, output / "serving")
    for directory, manifest in zip(exported_versions(output), manifests, strict=True):
        serving_configs.write(serving_configs.render_model_files(manifest, options), directory)
    return [output / "serving" / name for name in files]
