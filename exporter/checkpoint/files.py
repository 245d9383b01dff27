"""Which files of a checkpoint are its weights: chosen from names alone, in the reference's order.

Source: ``_get_resolved_checkpoint_files`` of transformers 5 (modeling_utils.py): the file that config.json's
``transformers_weights`` names, model.safetensors, then the shards of model.safetensors.index.json; after
them, as version 4 did, TensorFlow's tf_model.h5 and its shards. The same rule reads a directory and the hub's
list of files. What holds weights in other formats is named, with what makes a checkpoint of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from exporter.errors import CheckpointError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TF_WEIGHTS, TF_INDEX = "tf_model.h5", "tf_model.h5.index.json"
#: What leads to weights that are read: the first that is there.
ENTRIES = (WEIGHTS, INDEX, TF_WEIGHTS, TF_INDEX)
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_SAVE = ".save_pretrained(OUT), and export OUT"
_LOAD = "AutoModelForCausalLM.from_pretrained(DIR"
_PICKLED = "pickled weights only, which can run code when loaded and are never opened; "
_VERSION_4 = "which only version 4 of transformers reads: in an environment with 'transformers<5' and "
#: Files with weights that are not read: pattern -> what they are, and what makes a checkpoint of them.
_OTHERS = {
    "adapter_model.*": f"an adapter of PEFT without its {ADAPTER_CONFIG}, which names the base: fetch it",
    "consolidated*": "the format of its maker's own code (Mistral, Meta); take the files that transformers "
    "reads (model*.safetensors) from the same repository, or convert these with transformers' "
    "convert_..._weights_to_hf.py of that model",
    "*.gguf": "a file of llama.cpp; name the file itself: DIRECTORY/{name}, or on the hub REPO:{name}",
    "tf_model*.h5": f"weights of TensorFlow; they are read from {TF_WEIGHTS} or the shards of {TF_INDEX}",
    "*.h5": f"an HDF5 file; if transformers wrote it, rename it to {TF_WEIGHTS}",
    "flax_model*.msgpack": f"weights of Flax, {_VERSION_4}flax, {_LOAD}, from_flax=True){_SAVE}",
    "weights*.npz": "weights of MLX; export the original checkpoint",
    "*.onnx": "an ONNX graph and not a checkpoint; export the original checkpoint",
    "*.bin": f"{_PICKLED}convert them where you trust them: {_LOAD}){_SAVE}",
    **dict.fromkeys(
        ("*.pt", "*.pth", "*.ckpt"),
        f"{_PICKLED}load them with the code that wrote them and save as safetensors",
    ),
    "*.safetensors": "no file that transformers loads by itself; if it is the whole model, rename it to "
    f"{WEIGHTS}",
}
#: Files of the same endings that hold no weights.
_NO_WEIGHTS = {"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scheduler.bin"}


def weights_entry(files: Collection[str], config: Mapping[str, Any], where: str) -> str:
    """The one file that leads to the weights: a file of them, or an index.

    Args:
      files: the names of all files there, relative to it.
      where: what messages call the place.

    Raises:
      CheckpointError: there is none; says what is there instead.
    """
    named = config.get("transformers_weights")
    if named is not None:
        if not is_inside(named) or not named.endswith((".safetensors", ".safetensors.index.json")):
            raise CheckpointError(
                f"{where}: config.json: transformers_weights={named!r} must name a .safetensors file or "
                ".safetensors.index.json inside the checkpoint"
            )
        if named not in files:
            raise CheckpointError(f"{where}: config.json: transformers_weights={named!r} is not there")
        return str(named)
    entry = next((name for name in ENTRIES if name in files), None)
    if entry is None:
        raise CheckpointError(no_weights(files, where))
    return entry


def names_adapter(files: Collection[str]) -> bool:
    """Whether a place is an adapter of PEFT, and not a whole model with one beside it."""
    return ADAPTER_CONFIG in files and not {WEIGHTS, INDEX} & set(files)


def adapter_weights(files: Collection[str], where: str) -> list[str]:
    """The weights of an adapter, a list of one; raises CheckpointError where there are none."""
    missing = {ADAPTER_CONFIG, ADAPTER_WEIGHTS} - set(files)
    if not missing:
        return [ADAPTER_WEIGHTS]
    if ADAPTER_CONFIG in files and "adapter_model.bin" in files:
        raise CheckpointError(
            f"{where} has no {ADAPTER_WEIGHTS}, but adapter_model.bin: {_PICKLED}convert them where you "
            f"trust them: AutoPeftModelForCausalLM.from_pretrained(DIR){_SAVE}"
        )
    raise CheckpointError(f"{where} is no adapter of PEFT: it has no {' and no '.join(sorted(missing))}")


def shards(weight_map: object, index: str) -> list[str]:
    """The files that an index names; raises CheckpointError for anything but files of its kind inside."""
    if not isinstance(weight_map, dict) or not all(map(is_inside, weight_map.values())):
        raise CheckpointError(
            f"{index}: 'weight_map' must map tensor names to file names beside it or in folders below"
        )
    names = sorted(set(weight_map.values()))
    kind = "h5" if index.endswith(".h5.index.json") else "safetensors"
    others = [name for name in names if not name.endswith(f".{kind}")]
    if others:
        raise CheckpointError(f"{index} names {others[0]!r}; only {kind} files are read")
    return names


def is_inside(name: object) -> bool:
    """Whether a file name stays in the checkpoint's directory; links may lead out, as in the hub's cache."""
    if not isinstance(name, str) or not name or "\\" in name or "\0" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.name)


def no_weights(files: Iterable[str], where: str) -> str:
    """Why ``files`` hold no weights that could be read, naming those that come nearest."""
    names = sorted(other_weights(files, ()))
    for pattern, what in _OTHERS.items():
        found = [name for name in names if fnmatchcase(name, pattern)]
        if found:
            return f"{where} has no {WEIGHTS}, but {some(found)}: {what.replace('{name}', found[0])}"
    return f"{where} has no weights: neither {WEIGHTS} nor {INDEX} nor {TF_WEIGHTS}"


def no_config(files: Iterable[str], where: str) -> str:
    """What a place without config.json is; a model in another format needs none."""
    names = set(files)
    known = names.intersection(ENTRIES) or not other_weights(names, ())
    return f"{where} is not a checkpoint: it has no config.json" + (
        "" if known else f"; {no_weights(names, 'it')}"
    )


def other_weights(files: Iterable[str], used: Iterable[str]) -> list[str]:
    """Files beside the chosen ones that hold weights too, in any format."""
    beside = {name for name in files if "/" not in name} - set(used) - _NO_WEIGHTS
    return sorted(
        name for name in beside if name in ENTRIES or any(fnmatchcase(name, pattern) for pattern in _OTHERS)
    )


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
