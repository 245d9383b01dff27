"""From what a user calls a model to a local directory."""

from __future__ import annotations

from pathlib import Path

from exporter.errors import CheckpointError

DEMO_PREFIX = "demo:"
# Never *.bin or *.py: neither pickles nor remote code are of any use here.
ALLOW_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt"]


def locate(model: str, revision: str | None = None) -> Path:
    """The directory of ``model``: a local path, ``demo:NAME``, or a hub id (downloaded when not yet cached).

    Raises:
      CheckpointError: nothing is found under that name; the message says where it was looked for.
    """
    if model.startswith(DEMO_PREFIX):
        from exporter.demo import demo_path

        return Path(demo_path(model.removeprefix(DEMO_PREFIX)))
    path = Path(model).expanduser()
    if model and path.is_dir():
        return path
    if model and path.exists():
        raise CheckpointError(f"{model} is a file; name the checkpoint's directory")
    if not _is_hub_id(model):
        raise CheckpointError(
            f"{model!r} is neither a directory nor a hub id such as 'openai-community/gpt2'"
        )
    return _download(model, revision)


def _is_hub_id(model: str) -> bool:
    parts = model.split("/")
    return (
        len(parts) <= 2 and all(part and part not in {".", "..", "~"} for part in parts) and "\\" not in model
    )


def _download(model: str, revision: str | None) -> Path:
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{model!r} is no local directory, and from the Hugging Face hub"
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=ALLOW_PATTERNS))
    except GatedRepoError as error:
        raise CheckpointError(f"{where} access is gated; accept its terms and log in first") from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{where} revision {revision!r} does not exist") from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"{where} it was not found (or is private and needs a login)") from error
    except HFValidationError as error:
        raise CheckpointError(f"{model!r} is neither a directory nor a valid hub id: {error}") from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise CheckpointError(f"{where} it cannot be fetched: {error}") from error
