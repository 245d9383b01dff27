"""models.config: reading it, and which version folders a policy loads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from exporter.errors import ServingError
from serving_configs import protos


@dataclass(frozen=True)
class ModelConfig:
    """One model. ``policy`` is ("latest", n), ("all", 0) or ("specific", (versions...))."""

    name: str
    base_path: Path
    policy: tuple[str, Any] = ("latest", 1)
    labels: dict[str, int] = field(default_factory=dict)

    def aspired_versions(self) -> dict[int, Path]:
        """The versions that should be loaded: numeric folders below the base path, as the policy picks."""
        kind, value = self.policy
        found = version_folders(self.base_path)
        if kind == "latest":
            return {version: found[version] for version in sorted(found)[-value:]}
        if kind == "specific":
            return {version: found[version] for version in value if version in found}
        return found


def version_folders(base_path: Path) -> dict[int, Path]:
    """Folders named by a number; everything else (half-written versions too) is ignored."""
    if not base_path.is_dir():
        return {}
    return {
        int(path.name): path
        for path in base_path.iterdir()
        if path.name.isascii() and path.name.isdigit() and path.is_dir()
    }


def read(path: Path) -> list[ModelConfig]:
    """The models of a models.config file.

    A base path that does not exist here is looked up beside the file's folder: the emitted file names
    paths inside the container ("/models/NAME") and lies in ``OUT/serving``, the model in ``OUT/NAME``.

    Raises:
      ServingError: the file is missing, is not a ``ModelServerConfig``, or names a model twice.
    """
    try:
        message = protos.from_text(path.read_text(encoding="utf-8"), protos.ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ServingError(f"models.config {path}: {error}") from None
    return from_message(message, path.resolve().parent.parent)


def from_message(message: Any, root: Path) -> list[ModelConfig]:
    """The models of a ``ModelServerConfig``; ``root`` stands in for base paths that do not exist."""
    if message.WhichOneof("config") != "model_config_list":
        raise ServingError("models.config: only model_config_list is supported")
    configs = [_model(model, root) for model in message.model_config_list.config]
    names = [config.name for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise ServingError(f"models.config: model {name!r} is listed more than once")
    return configs


def _model(model: Any, root: Path) -> ModelConfig:
    if not model.name or not model.base_path:
        raise ServingError(f"models.config: a model needs a name and a base_path, got {model.name!r}")
    if model.model_platform not in ("tensorflow", ""):
        raise ServingError(f"models.config: model {model.name!r} has platform {model.model_platform!r}")
    base_path = Path(model.base_path)
    if not base_path.is_absolute():
        raise ServingError(
            f"models.config: Expected model {model.name} to have an absolute path or URI; "
            f"got base_path()={model.base_path}"
        )
    if not base_path.exists() and (root / base_path.name).exists():
        base_path = root / base_path.name
    policy = model.model_version_policy
    choice = policy.WhichOneof("policy_choice") or "latest"
    value = {
        "latest": lambda: policy.latest.num_versions or 1,
        "all": lambda: 0,
        "specific": lambda: tuple(policy.specific.versions),
    }[choice]()
    return ModelConfig(model.name, base_path, (choice, value), dict(model.version_labels))
