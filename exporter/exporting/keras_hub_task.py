"""A KerasHub task in memory as a checkpoint: its variables are read where they are."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
from keras.src.saving import saving_lib

from exporter.checkpoint import StoredTensor
from exporter.checkpoint.keras_hub.preset import Described, Preset, PresetCheckpoint
from exporter.checkpoint.safetensors_file import DTYPES
from exporter.checkpoint.tensor import LazyTensor
from exporter.errors import OptionError

_NAMES = {np.dtype(dtype).name: name for name, dtype in DTYPES.items()}


def name_of(task: Any) -> str:
    """What an export of ``task`` is called where it has no name of its own.

    Raises:
      OptionError: it is no task that generates text.
    """
    try:
        from keras_hub.models import CausalLM, Seq2SeqLM
    except ModuleNotFoundError:
        known: tuple[type, ...] = ()
    else:
        known = (CausalLM, Seq2SeqLM)
    if not issubclass(type(task), known):
        raise OptionError(
            f"model is a {type(task).__name__}; allowed are a directory, a hub id, a preset's handle, and a "
            "keras_hub CausalLM or Seq2SeqLM"
        )
    return f"keras_hub:{task.name}"


def checkpoint_of(task: Any) -> PresetCheckpoint:
    """The checkpoint; ``task`` must live, and not be trained on, as long as it is read."""
    tokenizer, preprocessor = getattr(task.preprocessor, "tokenizer", None), task.preprocessor
    with TemporaryDirectory(prefix="genserve-assets-") as assets:
        if tokenizer is not None:
            tokenizer.save_assets(assets)
        preset = Preset(
            backbone=_described(task.backbone),
            tokenizer=None if tokenizer is None else _described(tokenizer),
            preprocessor=None if preprocessor is None else _described(preprocessor),
            task=Described(_base(task), {}),
            assets=Path(assets),
        )
        return PresetCheckpoint(preset, variables_of(task.backbone))


def variables_of(backbone: Any) -> dict[str, StoredTensor]:
    """A model's variables by the paths that its weights file would have."""
    record = _Record()
    saving_lib._save_state(backbone, record, None, inner_path="", visited_saveables=set())
    return {name: _tensor(name, value) for name, value in record.found.items()}


class _Record(saving_lib.H5IOStore):
    """A store that keeps what it is given, and writes nothing."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.at = ""

    def __bool__(self) -> bool:
        return True

    def make(self, path: str, metadata: Any = None) -> _Record:
        """The store itself, at ``path``."""
        self.at = path
        return self

    def __setitem__(self, key: str, value: Any) -> None:
        self.found[f"{self.at}/vars/{key}"] = value


def _tensor(name: str, value: Any) -> LazyTensor:
    dtype, shape = np.dtype(keras.backend.standardize_dtype(value.dtype)), tuple(value.shape)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    path = Path("(in memory)")
    return LazyTensor(
        name, _NAMES[dtype.name], shape, path, nbytes, lambda: keras.ops.convert_to_numpy(value)
    )


def _described(thing: Any) -> Described:
    return Described(_base(thing), thing.get_config())


def _base(thing: Any) -> str:
    """The name of KerasHub's own class, also of an object of a class derived from it."""
    return next(
        (kind.__name__ for kind in type(thing).__mro__ if kind.__module__.startswith("keras_hub.")),
        type(thing).__name__,
    )
