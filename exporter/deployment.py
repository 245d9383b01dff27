"""Exported versions on disk, the deployment's options, and the files rendered from both.

What a deployment chose is kept beside the files, in ``OUT/serving/options.yaml``: the next export or
``genserve config`` renders with the same choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import serving_configs
from exporter import durable
from exporter.errors import OptionError, OutputError, did_you_mean
from exporter.manifest import MANIFEST_PATH, Manifest
from exporter.options import make_job
from serving_configs import ServingOptions, kubernetes

OPTIONS_FILE = "options.yaml"
# Files that only some options render: one that is not rendered anymore must not stay behind, or the next
# server would still be started with it.
_OPTIONAL_FILES = ("batching.config", "ssl.config", *kubernetes.FILES)
_MODEL_FILE = "batching_params.pbtxt"
# Written by promotions and rollbacks rather than by hand.
ROLLOUT_OPTIONS = ("version_labels", "label_history", "loading")
_PEM_FIELDS = ("server_key", "server_cert", "custom_ca")


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
    if not output.is_dir():
        raise OutputError(f"{output} is no directory; OUT is what 'genserve export MODEL OUT' wrote")
    manifests = []
    for directory in exported_versions(output):
        try:
            manifests.append(Manifest.read(directory))
        except ValidationError as error:
            raise OutputError(
                f"{directory / MANIFEST_PATH} cannot be read: {_listed(error)}; export the version anew"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise OutputError(f"{directory / MANIFEST_PATH} cannot be read: {error}") from error
    if not manifests:
        raise OutputError(f"{output} holds no version that genserve exported (NAME/VERSION/{MANIFEST_PATH})")
    return manifests


def read_options(path: Path) -> dict[str, Any]:
    """The mapping of a YAML file of serving options.

    Key, certificate and CA under ``ssl`` are PEM texts or files; names of files are relative to the YAML
    file's folder and come back absolute.

    Raises:
      OptionError: the file cannot be read, or is not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"serving options {path} cannot be read: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise OptionError(f"serving options {path}: needs a mapping, has {type(content).__name__}")
    if isinstance(content.get("ssl"), dict):
        files = {
            field: str((path.parent / value).resolve())
            for field, value in content["ssl"].items()
            if field in _PEM_FIELDS and isinstance(value, str) and value and not _is_pem(value)
        }
        content["ssl"] = content["ssl"] | files
    return content


def stored_options(output: Path) -> dict[str, Any]:
    """What the deployment in ``output`` was rendered with; empty where nothing was chosen."""
    path = output / "serving" / OPTIONS_FILE
    return read_options(path) if path.exists() else {}


def serving_options(values: Mapping[str, Any], manifests: Sequence[Manifest]) -> ServingOptions:
    """Checked options.

    Where some version raises row errors, the server must not merge requests: unless ``values`` say otherwise,
    batching is off then.

    Raises:
      OptionError: an unknown or unusable value, or a key or certificate file that cannot be read.
    """
    unknown = [name for name in values if name not in ServingOptions.model_fields]
    if unknown:
        known = list(ServingOptions.model_fields)
        named = ", ".join(f"{name!r}{did_you_mean(str(name), known)}" for name in unknown)
        raise OptionError(f"unknown serving options: {named}; allowed: {', '.join(known)}")
    batching = all(manifest.options.get("row_errors") != "raise" for manifest in manifests)
    merged = {"batching": batching, **values}
    if isinstance(merged.get("ssl"), dict):
        merged["ssl"] = {field: _pem(field, value) for field, value in merged["ssl"].items()}
    try:
        options = ServingOptions.model_validate(merged)
    except ValidationError as error:
        raise OptionError(f"serving options cannot be used: {_listed(error)}") from None
    if options.kubernetes.export:
        # Where it will run, and hours later, is no place to learn of a mistake.
        make_job(options.kubernetes.export.job, Path(options.model_root), {}, "kubernetes.export.job")
    return options


def _listed(error: ValidationError) -> str:
    """Fields and messages, without the values: a private key may be among them."""
    items = [(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
    return "; ".join(f"{where}: {message}" if where else message for where, message in items)


def _is_pem(value: str) -> bool:
    return "-----BEGIN" in value


def _pem(field: str, value: Any) -> Any:
    if field not in _PEM_FIELDS or not isinstance(value, str) or not value or _is_pem(value):
        return value
    try:
        return Path(value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"ssl.{field}: {value} cannot be read: {error}") from None


def write_serving_configs(output: Path, values: Mapping[str, Any] | None = None) -> list[Path]:
    """Renders the deployment files of all versions below ``output``; returns what was written.

    Args:
      output: the export directory.
      values: serving options as in the YAML file, kept for the next time; None: those of the last time.

    Raises:
      OptionError: options that cannot be used or served; nothing is written then.
      OutputError: no exported version, or the files cannot be written.
    """
    with _one_at_a_time(output):
        chosen = stored_options(output) if values is None else dict(values)
        return _write(output, chosen, kept=values is None)


def change_options(output: Path, change: Callable[[dict[str, Any]], None]) -> list[Path]:
    """``write_serving_configs`` with what ``change`` makes of the kept options; nothing comes between."""
    with _one_at_a_time(output):
        chosen = stored_options(output)
        change(chosen)
        return _write(output, chosen, kept=True)


@contextmanager
def _one_at_a_time(output: Path) -> Iterator[None]:
    """Two exports, or an export and a promotion, must not write what the other one has just replaced."""
    if not output.is_dir():
        raise OutputError(f"{output} is no directory; OUT is what 'genserve export MODEL OUT' wrote")
    try:
        with durable.locked(output):
            yield
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error}") from None


def _write(output: Path, chosen: Mapping[str, Any], *, kept: bool) -> list[Path]:
    """Renders and writes; ``kept``: whether the options were not given just now."""
    manifests = read_manifests(output)
    serving = output / "serving"
    try:
        options = serving_options(chosen, manifests)
        files = serving_configs.render(manifests, options)
    except OptionError as error:
        if not kept or not chosen:
            raise
        raise OptionError(f"{serving / OPTIONS_FILE}, correct it or give --options: {error}") from None
    # The options first: what a kill leaves unwritten follows from them.
    stored = {OPTIONS_FILE: yaml.safe_dump(dict(chosen), sort_keys=False)} if chosen else {}
    _replace(serving, stored | files, (*_OPTIONAL_FILES, OPTIONS_FILE, *_former(serving)))
    for directory, manifest in zip(exported_versions(output), manifests, strict=True):
        _replace(directory, serving_configs.render_model_files(manifest, options), (_MODEL_FILE,))
    return [serving / name for name in files]


def _former(serving: Path) -> Iterator[str]:
    """Files of the folders that hold nothing but what is rendered."""
    for folder in kubernetes.FOLDERS:
        for path in (serving / folder).rglob("*"):
            if path.is_file():
                yield path.relative_to(serving).as_posix()


def _replace(directory: Path, files: Mapping[str, str], optional: Sequence[str]) -> None:
    """Writes ``files`` and removes the optional ones that are not among them."""
    serving_configs.write(files, directory)
    for name in optional:
        if name not in files:
            (directory / name).unlink(missing_ok=True)
