"""Whether a version can be trusted: its files, its graph, and its answers.

verify(version_directory) -> Report            on this machine, in a process of its own
verify_server(version_directory, client) -> Report         a live server, without TensorFlow
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from exporter.deployment import stored_options
from exporter.errors import VerificationError
from exporter.manifest import Manifest
from exporter.verification.checks import Report
from exporter.verification.foreign_process import graph_checks
from exporter.verification.tokenizer import tokenizer_check, tokenizer_sample
from exporter.verification.written_files import file_checks

#: What the process of its own imports.
_NEEDED = ("tensorflow", "tensorflow_text", "tensorflow_serving")


def verify(directory: Path, *, warmup: bool = True) -> Report:
    """Checks a version's files, graph and answers.

    Args:
      directory: the version's.
      warmup: False does not replay the warmup, so that compilations are not counted.

    Raises:
      FileNotFoundError, pydantic.ValidationError, OutputError: no manifest that can be read.
      OptionError: OUT/serving/options.yaml cannot be read.
    """
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    manifest = Manifest.read(directory)
    checks = file_checks(directory, manifest)
    sample = tokenizer_sample(manifest)
    configured = stored_options(directory.resolve().parent.parent).get("serving_version")
    graph = graph_checks(directory, manifest, warmup=warmup, texts=list(sample.texts), configured=configured)
    return Report(directory, (*checks, *graph.checks, tokenizer_check(sample, graph.encoded)), manifest)


def verify_version(directory: Path) -> int:
    """``verify``; returns how many golden answers there were.

    Raises:
      VerificationError: a check failed; all that did are listed.
    """
    report = verify(directory)
    report.check()
    return report.golden_answers


__all__ = ["Report", "VerificationError", "verify", "verify_version"]
