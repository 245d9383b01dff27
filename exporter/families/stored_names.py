"""Under which names a checkpoint may keep a model's tensors: the reference's rules, name by name.

Source: ``rename_source_key`` of transformers 5 (core_model_loading.py). A family's renames come first. Then
the base model's prefix is dropped where the rest is one of the model's names, or added where that makes one:
bare base models load into a whole model, and so does what was saved an attribute too deep. Nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from exporter.checkpoint import StoredTensor
from exporter.errors import CheckpointError, raise_all
from exporter.families.names import Names
from exporter.families.ties import same

Tensors = Mapping[str, StoredTensor]

#: What leaves such a prefix behind, and what saves the model without it.
_WRAPPERS = {
    "_orig_mod.": "torch.compile wrapped the model: save model._orig_mod with save_pretrained",
    "module.": "DataParallel wrapped the model: save model.module with save_pretrained",
    **dict.fromkeys(
        ("base_model.", "base_model.model."),  # the second word is the base's prefix in many families
        "PEFT wrapped the model: save model.merge_and_unload() with save_pretrained",
    ),
    "language_model.": "it is a part of a larger model: save that part with save_pretrained",
}


def by_reference_names(tensors: Tensors, names: Names, wanted: Collection[str]) -> dict[str, StoredTensor]:
    """The stored tensors by the names that the reference gives them; ``wanted`` are those of the model.

    Raises:
      CheckpointError: two tensors of one name that differ.
    """
    found: dict[str, StoredTensor] = {}
    twice = []
    for stored, tensor in tensors.items():
        name = reference_name(stored, names, wanted)
        if name not in found:
            found[name] = tensor
        elif not same(found[name], tensor):
            twice.append(f"{found[name].name} and {stored} are both {name}, and differ")
    raise_all(CheckpointError, "the checkpoint has tensors that are one and the same:", twice)
    return found


def reference_name(stored: str, names: Names, wanted: Collection[str]) -> str:
    """The model's name of a stored tensor; the stored name itself, perhaps renamed, where there is none."""
    renamed = stored
    for pattern, replacement in names.renames:
        renamed = re.sub(pattern, replacement, renamed, count=1)
    name = _with_base(renamed, names.base_prefix, wanted)
    return stored if name not in wanted and stored in wanted else name


def _with_base(name: str, base: str, wanted: Collection[str]) -> str:
    without = name.removeprefix(f"{base}.")
    if without != name and without in wanted:
        return without
    return f"{base}.{name}" if f"{base}.{name}" in wanted else name


def foreign_prefix(tensors: Tensors, names: Names, wanted: Collection[str], needed: Iterable[str]) -> str:
    """What stands before every stored name and keeps the reference from loading any; "" if nothing does."""
    prefix, needed = "", set(needed)
    for words in zip(*(name.split(".")[:-1] for name in tensors), strict=False):
        if len(set(words)) > 1:
            break
        prefix += f"{words[0]}."
        if needed <= {reference_name(name.removeprefix(prefix), names, wanted) for name in tensors}:
            return prefix
    return ""


def explain_prefix(prefix: str) -> str:
    """One sentence on a foreign prefix, and what to do."""
    wrapper = next((text for key, text in _WRAPPERS.items() if prefix.endswith(key)), None)
    advice = f"{wrapper}; or " if wrapper else ""
    return (
        f"every name begins with {prefix}, and transformers loads none of them; {advice}"
        "rename them in every file FILE: from safetensors.torch import load_file, save_file; "
        f"save_file({{n.removeprefix({prefix!r}): t for n, t in load_file(FILE).items()}}, FILE)"
    )
