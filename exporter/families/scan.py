"""Which keys of a config.json the reference reads, told from its source: nothing of it is imported or run.

A key that neither the config class of a model_type, nor its modelling module, nor the code that they share
with all others reads cannot change what the reference computes. Read means: an attribute of something that is
called a config, ``getattr`` or ``hasattr`` on it, ``self`` inside a config class, a name taken out of its
keyword arguments or out of ``config_dict``, a field of the base class. A family's own fields that are
declared and never looked at are not read. Names that are computed are told by the lists of strings in the
function that computes them; what a class can record has an ``output_`` name. What is found is checked in
tests against every attribute that the reference really touches while it loads and generates.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

# What every model_type shares: first the code of config classes, where ``self`` is the config, then the rest.
CONFIG_CODE = (
    "configuration_utils.py",
    "modeling_rope_utils.py",
    "integrations/heterogeneity/configuration_utils.py",
)
SHARED_CODE = (
    "modeling_utils.py",
    "masking_utils.py",
    "cache_utils.py",
    "modeling_layers.py",
    "core_model_loading.py",
    "conversion_mapping.py",
    "modeling_flash_attention_utils.py",
    "generation/utils.py",
    "integrations/moe.py",
    "utils/generic.py",
    "utils/output_capturing.py",
    "models/auto/auto_factory.py",
    "models/auto/configuration_auto.py",
)

#: The tables of the auto classes that write text: without an encoder, to images, to anything, to speech, and
#: with an encoder.
CAUSAL = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
IMAGE_TEXT = "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES"
MULTIMODAL = "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES"
SPEECH = "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES"
SEQ_TO_SEQ = "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES"

# Configs of other things than a model.
_OTHER_CONFIGS = re.compile(
    r"(assistant|compile|distributed|fusion|generation|kernel|load|peft|quantization|tp)_config$"
)
# Classes of other tasks than generating text, and drafting heads, which are not used unless asked for.
_OTHER_CLASSES = re.compile(
    r"ForSequenceClassification|ForTokenClassification|ForQuestionAnswering|DoubleHeads|SequenceSummary"
    r"|ClassificationHead|^Mtp|Inkling"
)
# Functions that check or save what was read, or draft.
_OTHER_FUNCTIONS = re.compile(
    r"_?validate_|dynamic_rope_update|(__getattribute__|__setattr__|get_mtp_config|save_pretrained|push_to_hub"
    r"|to_dict|to_diff_dict|update_from_string)$"
)
# Functions of config classes whose keyword arguments are not the config's.
_OTHER_KWARGS = re.compile(r"(_get_config_dict|from_dict|from_pretrained|get_config_dict)$")
_MAPPINGS = {"kwargs", "config_dict"}


class ReadKeys(NamedTuple):
    """Names that are read from a config, and from its rotary parameters."""

    config: frozenset[str] = frozenset()
    rope: frozenset[str] = frozenset()

    def __or__(self, other: ReadKeys) -> ReadKeys:
        return ReadKeys(self.config | other.config, self.rope | other.rope)


def shared_keys(root: Path) -> ReadKeys:
    """What the reference at ``root``, its package directory, reads whatever the model_type is.

    Files that a version does not have are passed over.

    Raises:
      LookupError: there is no such package.
    """
    there = [name for name in (*CONFIG_CODE, *SHARED_CODE) if (root / name).is_file()]
    if CONFIG_CODE[0] not in there:
        raise LookupError(f"{root} has no {CONFIG_CODE[0]}")
    return _union(_keys(root / name, self_is_config=name in CONFIG_CODE) for name in there)


def keys_of(root: Path, model_type: str) -> ReadKeys:
    """What config class and modelling code of a model_type read beside ``shared_keys``.

    Raises:
      LookupError: no config class of that model_type.
    """
    if model_type not in (modules := homes(root)):
        raise LookupError(f"no config class of model_type {model_type!r} below {root}")
    return _union([_keys(modules[model_type], self_is_config=True), *map(_keys, modelling(root, model_type))])


@cache
def registered(root: Path, table: str = CAUSAL) -> dict[str, str]:
    """A table of the reference's auto classes, as its source says: model_type -> name of the model's class.

    Raises:
      LookupError: no such table.
    """
    path = root / "models/auto/modeling_auto.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body if path.is_file() else ():
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == table:
            assert isinstance(node.value, ast.Call)
            assert isinstance(node.value.args[0], ast.List)
            return dict(pair for item in node.value.args[0].elts for pair in _registered(root, item))
    raise LookupError(f"no {table} in {path}")


def _registered(root: Path, item: ast.expr) -> Iterable[tuple[str, str]]:
    """What one item of a table adds: itself, or as ``*list(OTHER.items())`` all of another table."""
    if not isinstance(item, ast.Starred):
        return [ast.literal_eval(item)]
    others = [node.id for node in ast.walk(item) if isinstance(node, ast.Name) and node.id != "list"]
    return registered(root, *others).items()


def modelling(root: Path, model_type: str) -> list[Path]:
    """The modules of a type's model; of one without its own, that of the class that it generates with."""
    if own := sorted(homes(root)[model_type].parent.glob("modeling_*.py")):
        return own
    name = registered(root).get(model_type) or registered(root, IMAGE_TEXT).get(model_type)
    modules = sorted(root.glob("models/*/modeling_*.py")) if name else []
    return [path for path in modules if f"\nclass {name}(" in path.read_text(encoding="utf-8")]


@cache
def homes(root: Path) -> dict[str, Path]:
    """The module of every model_type's config class."""
    declared = re.compile(r'^    model_type(?:: \w+)? = "(.+)"$', re.MULTILINE)
    return {
        model_type: path
        for path in sorted(root.glob("models/*/configuration_*.py"))
        for model_type in declared.findall(path.read_text(encoding="utf-8"))
    }


def _union(parts: Iterable[ReadKeys]) -> ReadKeys:
    whole = ReadKeys()
    for part in parts:
        whole |= part
    return whole


def _keys(path: Path, *, self_is_config: bool = False) -> ReadKeys:
    reads = _Reads(self_is_config)
    reads.visit(ast.parse(path.read_text(encoding="utf-8")))
    return ReadKeys(*(frozenset(filter(_is_key, names)) for names in (reads.config, reads.rope)))


def _is_key(name: str) -> bool:
    return name.isidentifier() and not name.startswith("__")


class _Reads(ast.NodeVisitor):
    """Collects the names that one module reads."""

    def __init__(self, self_is_config: bool) -> None:
        self.config: set[str] = set()
        self.rope: set[str] = set()
        self._self_is_config = self._kwargs = self_is_config

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if node.name == "PreTrainedConfig":
            fields = [line.target for line in node.body if isinstance(line, ast.AnnAssign)]
            self.config.update(field.id for field in fields if isinstance(field, ast.Name))
        if not _OTHER_CLASSES.search(node.name):
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if not _OTHER_FUNCTIONS.match(node.name):
            before, self._kwargs = self._kwargs, not _OTHER_KWARGS.match(node.name) and self._self_is_config
            self.generic_visit(node)
            self._kwargs = before
            if any(self._computed(inner) for inner in ast.walk(node)):
                self.config.update(_listed(node))

    def visit_Assign(self, node: ast.Assign) -> None:
        if ast.unparse(node.targets[0]) == "_can_record_outputs" and isinstance(node.value, ast.Dict):
            # utils/output_capturing.py asks the config for each of these.
            self.config.update(f"output_{name}" for key in node.value.keys if key for name in _string(key))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load) and self._is_config(node.value):
            self.config.add(node.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if name := self._looked_up(node):
            self.config.update(_string(name))
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"get", "pop", "setdefault"}:
            for key in node.args[:1]:
                self._item(node.func.value, key)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._item(node.value, node.slice)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            self._item(node.comparators[0], node.left)
        self.generic_visit(node)

    def _item(self, mapping: ast.expr, key: ast.expr) -> None:
        """A key of something like a mapping."""
        if isinstance(mapping, ast.Name) and mapping.id in _MAPPINGS:
            if mapping.id == "config_dict" or self._kwargs:
                self.config.update(_string(key))
        elif "rope_parameters" in ast.unparse(mapping):
            self.rope.update(_string(key))

    def _is_config(self, value: ast.expr) -> bool:
        """Whether an expression stands for a model's config."""
        if isinstance(value, ast.Call):
            return isinstance(value.func, ast.Attribute) and value.func.attr == "get_text_config"
        if isinstance(value, ast.Subscript):
            return isinstance(value.value, ast.Attribute) and value.value.attr == "per_layer_config"
        name = value.id if isinstance(value, ast.Name) else getattr(value, "attr", "")
        if name == "self":
            return self._self_is_config
        return name.endswith("config") and not _OTHER_CONFIGS.search(name)

    def _looked_up(self, node: ast.Call) -> ast.expr | None:
        """The name that ``getattr`` or ``hasattr`` asks a config for."""
        asks = isinstance(node.func, ast.Name) and node.func.id in {"getattr", "hasattr"}
        return node.args[1] if asks and self._is_config(node.args[0]) else None

    def _computed(self, node: ast.AST) -> bool:
        name = self._looked_up(node) if isinstance(node, ast.Call) else None
        return name is not None and not isinstance(name, ast.Constant)


def _string(node: ast.expr) -> list[str]:
    """The text of a constant, else nothing."""
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _listed(function: ast.FunctionDef) -> set[str]:
    """The strings in a function's lists and tuples."""
    lists = [node for node in ast.walk(function) if isinstance(node, ast.List | ast.Tuple)]
    return {text for items in lists for item in items.elts for text in _string(item)}
