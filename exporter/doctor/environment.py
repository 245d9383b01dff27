"""The installation: which packages are there, whether they fit, and whether a GPU is seen."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from exporter import __version__
from exporter.doctor.findings import Finding
from exporter.errors import installing

#: Built against one minor release of TensorFlow each.
_PAIRED = ("tensorflow-text", "tensorflow-serving-api")
_CUDA = "nvidia-cudnn-cu12"


def environment_findings(devices: Path = Path("/dev")) -> list[Finding]:
    """Of this process's environment; ``devices`` is where the driver's files lie."""
    found = [Finding("genserve", "good", f"genserve {__version__}, Python {platform.python_version()}")]
    tensorflow = _version("tensorflow")
    if tensorflow is None:
        what = "TensorFlow is not installed"
        meaning = "this is a client's install: it cannot export, verify or preview"
        return [*found, Finding("client-install", "note", what, meaning, installing("export"))]
    found.append(Finding("tensorflow", "good", f"TensorFlow {tensorflow}"))
    found += [_pair(name, tensorflow) for name in _PAIRED]
    return [*found, _gpu(devices)]


def _pair(name: str, tensorflow: str) -> Finding:
    version, wanted = _version(name), _minor(tensorflow)
    if version is not None and _minor(version) == wanted:
        return Finding(name, "good", f"{name} {version}")
    return Finding(
        f"{name}-version",
        "error",
        f"{name} {version or 'is not installed'}, TensorFlow {tensorflow}",
        "it is built against one minor release of TensorFlow",
        f"pip install '{name}=={wanted}.*'",
    )


def _gpu(devices: Path) -> Finding:
    if not any(devices.glob("nvidia[0-9]*")):
        return Finding("no-gpu", "note", "no NVIDIA GPU here: exports are verified on the CPU")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden in ("", "-1"):
        what = f"CUDA_VISIBLE_DEVICES={hidden}"
        return Finding("gpu-hidden", "note", what, "the GPU is not used", "unset CUDA_VISIBLE_DEVICES")
    if _version(_CUDA) is None:
        return Finding(
            "gpu-libraries",
            "warning",
            f"an NVIDIA GPU, but {_CUDA} is not installed",
            "TensorFlow uses the GPU only where CUDA's libraries are found",
            "pip install 'tensorflow[and-cuda]'; GENSERVE_LOG=tensorflow names the library that is missing",
        )
    return Finding("gpu", "good", "an NVIDIA GPU and CUDA's libraries")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
