"""``genserve --version --json``: the versions that decide what this installation does."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from exporter import __version__

#: What the base install and the extras for use ask for; a test compares it with pyproject.toml.
PACKAGES = (
    "apache-beam",
    "fsspec",
    "gcsfs",
    "gguf",
    "grpcio",
    "h5py",
    "httpx",
    "huggingface-hub",
    "jinja2",
    "jsonschema",
    "keras",
    "keras-hub",
    "matplotlib",
    "ml-dtypes",
    "numpy",
    "prometheus-client",
    "protobuf",
    "psutil",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "regex",
    "rich",
    "s3fs",
    "safetensors",
    "sentencepiece",
    "starlette",
    "tensorflow",
    "tensorflow-serving-api",
    "tensorflow-text",
    "tokenizers",
    "transformers",
    "typer",
    "uvicorn",
)


def installed() -> dict[str, Any]:
    """This program, its Python and machine, and those of ``PACKAGES`` that are there; imports none."""
    return {
        "genserve": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
