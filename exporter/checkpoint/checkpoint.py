"""A checkpoint directory: its JSON files, and its tensors by name whatever the number of shards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from exporter.checkpoint.mxfp4 import with_whole_tensors
from exporter.checkpoint.safetensors_file import StoredTensor, read_header
from exporter.errors import CheckpointError, raise_all

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class Checkpoint:
    """A directory in Hugging Face layout.

    Attributes:
      path: the directory.
      config: config.json.
      generation_config: generation_config.json, or None.

    Raises:
      CheckpointError: no directory, no config.json, or JSON that cannot be read. Weights are looked at only
        when ``tensors`` is first used.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise CheckpointError(f"{self.path} is not a directory")
        if not (self.path / "config.json").is_file():
            raise CheckpointError(f"{self.path} is not a checkpoint: it has no config.json")
        self.config: dict[str, Any] = read_json(self.path / "config.json")
        generation = self.path / "generation_config.json"
        self.generation_config: dict[str, Any] | None = (
            read_json(generation) if generation.is_file() else None
        )

    @cached_property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """Every tensor by name; shapes and dtypes are known, nothing is read yet. MXFP4 reads as what it is.

        Raises:
          CheckpointError: no safetensors, a damaged file, or an index that does not match its shards.
        """
        stored = self._stored_tensors()
        return with_whole_tensors(stored) if self._quantised() == "mxfp4" else stored

    def _stored_tensors(self) -> Mapping[str, StoredTensor]:
        if (self.path / INDEX).is_file():
            return _sharded(self.path)
        if (self.path / WEIGHTS).is_file():
            return read_header(self.path / WEIGHTS)
        raise CheckpointError(_no_weights(self.path))

    def _quantised(self) -> Any:
        quantisation = self.config.get("quantization_config")
        return quantisation.get("quant_method") if isinstance(quantisation, dict) else None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises CheckpointError where it is anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value


def _no_weights(path: Path) -> str:
    pickled = sorted(file.name for pattern in PICKLED for file in path.glob(pattern))
    if pickled:
        return (
            f"{path} has pickled weights only ({', '.join(pickled)}), which can run code when loaded "
            "and are never opened; convert them where you trust them: "
            "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT)"
        )
    others = sorted(file.name for file in path.glob("*.safetensors"))
    found = f" (found {', '.join(others)})" if others else ""
    return f"{path} has no weights: neither {WEIGHTS} nor {INDEX}{found}"


def _sharded(path: Path) -> Mapping[str, StoredTensor]:
    """Tensors of every shard that the index names; index and shards must agree both ways."""
    weight_map = read_json(path / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not all(_is_file_name(name) for name in weight_map.values()):
        raise CheckpointError(f"{path / INDEX}: 'weight_map' must map tensor names to file names beside it")
    shards = sorted(set(weight_map.values()))
    missing = [f"{shard} is missing" for shard in shards if not (path / shard).is_file()]
    raise_all(CheckpointError, f"{path / INDEX} names shards that are not there:", missing)
    stored = {shard: read_header(path / shard) for shard in shards}
    problems = [
        f"{name} is not in {shard}" for name, shard in weight_map.items() if name not in stored[shard]
    ] + [
        f"{name} in {shard} is not in the index"
        for shard, tensors in stored.items()
        for name in tensors
        if weight_map.get(name) != shard
    ]
    raise_all(CheckpointError, f"{path / INDEX} does not match its shards:", problems)
    return {name: stored[shard][name] for name, shard in weight_map.items()}


def _is_file_name(name: object) -> bool:
    return isinstance(name, str) and bool(name) and Path(name).name == name
