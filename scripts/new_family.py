"""Writes a Llama-like family from the reference's source: data file, registry line, test cases, docs.

scripts/new_family MODEL_TYPE

What the source does not decide stands in the data file's TODO: until that is empty every config of the type
is refused with it, so that the parity tests name it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from exporter.families.config_keys import package_directory  # noqa: E402
from exporter.families.registry import ALIASES, FAMILIES  # noqa: E402
from scripts.family_source import SIZES, Family, read_family  # noqa: E402

FAMILY_FOLDER = ROOT / "exporter" / "families"
REGISTRY, REFUSED = FAMILY_FOLDER / "registry.py", FAMILY_FOLDER / "refused.py"
CASES = ROOT / "tests" / "families" / "cases_kin2.py"
LLAMA_NORMS = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}


def main() -> int:
    """Writes everything; prints what is left to a person."""
    parser = argparse.ArgumentParser(prog="scripts/new_family", description=__doc__.splitlines()[0])
    parser.add_argument("model_type", help="as config.json has it, for example arcee")
    model_type = parser.parse_args().model_type
    if model_type in {*FAMILIES, *ALIASES}:
        parser.error(f"{model_type} is supported already: exporter/families/registry.py")
    try:
        found = read_family(package_directory(), model_type)
    except LookupError as error:
        parser.error(str(error))
    path = FAMILY_FOLDER / f"{module_of(model_type)}.py"
    if path.exists():
        parser.error(f"{path} exists")
    path.write_text(data_file(found), encoding="utf-8")
    register(found)
    add_cases(found)
    _tidy(path, CASES, REGISTRY)
    for script in ("make_config_keys.py", "make_family_matrix.py"):
        subprocess.run([sys.executable, f"scripts/{script}"], cwd=ROOT, check=True)
    print(report(found, path))
    return 0


def module_of(model_type: str) -> str:
    """A module's name."""
    return re.sub(r"\W", "_", model_type).lower()


def data_file(found: Family) -> str:
    """The family as data."""
    name = module_of(found.model_type)
    sizes = ", ".join(
        f"{ours}={found.defaults[key]}" for key, ours in SIZES.items() if found.defaults.get(key) is not None
    )
    rotary = [
        *([f"theta={found.theta!r}"] if found.theta != 10_000.0 else []),
        *([f"partial={found.partial}"] if found.partial is not None else []),
        *(["layout=RopeLayout.INTERLEAVED"] if found.interleaved else []),
    ]
    attention = [
        f"rotary=read_rotary({', '.join(['config', 'shape.head_dim', 'shape.max_length', *rotary])})",
        *(f"{ours}_bias={flag}" for ours, flag in found.biases.items() if ours != "mlp" and flag != "False"),
        *(["qk_norm=norm"] if found.qk_norm else []),
        *(["qk_norm_last=True"] if found.qk_norm_last else []),
    ]
    norms = ", ".join(f"{ours}=norm" for ours in found.norms)
    head = f"HeadSpec(tied(config{', True' if found.defaults.get('tie_word_embeddings') else ''}))"
    return f'''"""{found.words}."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import gated_mlp, layer_norm, plain_mlp, read_shape, rms_norm, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec, RopeLayout

{_todo(found)}
def read(config: ConfigReader) -> ModelSpec:
    """{_summary(found)}"""
    shape = read_shape(config, {sizes})
    norm = {found.norm}
    attention = shape.attention({", ".join(attention)})
    layer = LayerSpec(attention, {_mlp(found)}, {norms})
{_check(found)}    return shape.model("{found.model_type}", [layer] * shape.layers, norm, {head})


{name.upper()} = Family({", ".join(["read", _names(found), *_extras(found)])})
'''


def _summary(found: Family) -> str:
    """What differs from Llama, as far as it is data."""
    parts = [
        *(["LayerNorm"] if "layer_norm" in found.norm else []),
        *(["norms scaled in float32"] if "round_first" in found.norm else []),
        *(["norms behind the branches"] if "attention_out_norm" in found.norms else []),
        *(["query and key norms"] if found.qk_norm else []),
        *([] if found.gated else ["plain feed-forward blocks"]),
        *(["neighbouring features turn together"] if found.interleaved else []),
        *([f"{found.partial:g} of each head turns"] if found.partial is not None else []),
    ]
    return f"Llama's plan{': ' if parts else ''}{', '.join(parts)}."


def _mlp(found: Family) -> str:
    bias, act = found.biases["mlp"], found.defaults.get("hidden_act", "silu")
    if not found.gated:
        return f'plain_mlp(config, shape.width, "{act}", "hidden_act", bias={bias})'
    extra = [*([f"bias={bias}"] if bias != "False" else []), *([f'act="{act}"'] if act != "silu" else [])]
    return f"gated_mlp({', '.join(['config', 'shape.width', *extra])})"


def _names(found: Family) -> str:
    changes = {ours: theirs for ours, theirs in found.norms.items() if LLAMA_NORMS.get(ours) != theirs}
    if found.qk_norm:
        changes |= {
            f"{ours}_norm": f"self_attn.{name}" for ours, name in zip("qk", found.qk_norm, strict=True)
        }
    if not found.gated:
        changes["gate"] = ""
    listed = ", ".join(f'{ours}="{theirs}"' for ours, theirs in changes.items())
    return f"replace(LLAMA_NAMES, {listed})" if changes else "LLAMA_NAMES"


def _extras(found: Family) -> list[str]:
    listed = ", ".join(f'"{key}"' for key in found.harmless)
    return [
        *([f"harmless=({listed},)"] if found.harmless else []),
        *([f"aliases={found.aliases!r}"] if found.aliases else []),
    ]


def _todo(found: Family) -> str:
    if not found.questions:
        return ""
    listed = "\n".join(f"    {question!r}," for question in found.questions)
    said = "# What scripts/new_family could not decide: nothing is exported until this is empty."
    return f"{said}\nTODO = (\n{listed}\n)\n\n"


def _check(found: Family) -> str:
    if not found.questions:
        return ""
    place = f"exporter/families/{module_of(found.model_type)}.py"
    return f'    for question in TODO:\n        config.problem(f"TODO in {place}: {{question}}")\n'


def register(found: Family) -> None:
    """Adds import and entry to the registry, each at its alphabetical place, and ends a refusal."""
    module, text = module_of(found.model_type), REGISTRY.read_text(encoding="utf-8")
    text = _inserted(text, "from exporter.families import (\n", f"    {module},\n", r"    \w+,\n")
    entry = f'    "{found.model_type}": {module}.{module.upper()},\n'
    text = _inserted(text, "FAMILIES: dict[str, Family] = {\n", entry, r'    "[^"]+": [\w.]+,\n')
    REGISTRY.write_text(text, encoding="utf-8")
    refused = REFUSED.read_text(encoding="utf-8")
    pattern = rf'(?<=[\s"]){re.escape(found.model_type)}(?=[\s"]) ?'
    REFUSED.write_text(re.sub(pattern, "", refused), encoding="utf-8")


def _inserted(text: str, head: str, line: str, pattern: str) -> str:
    """``line`` among the sorted lines of ``pattern`` that follow ``head``."""
    start = text.index(head) + len(head)
    lines = re.match(rf"(?:{pattern})*", text[start:])
    assert lines is not None
    listed = sorted({*lines[0].splitlines(keepends=True), line})
    return text[:start] + "".join(listed) + text[start + lines.end() :]


def add_cases(found: Family) -> None:
    """Adds two tiny configurations: the defaults, and the switches turned."""
    switches = {key: not value for key, value in found.defaults.items() if _is_switch(found, key)}
    touches = ", ".join(key if value else f"no {key}" for key, value in switches.items())
    base = ["**SIZES", *(["**PAD"] if (found.defaults.get("pad_token_id") or 0) >= 99 else [])]
    base += ['"head_dim": 12'] if found.defaults.get("head_dim") else []
    block = f'''    FamilyCases(
        "{found.model_type}",
        "{found.config_class}",
        "{found.model_class}",
        {{{", ".join(base)}}},
        (
            Case("defaults", {{}}),
            Case("{touches}", {switches!r}, full=True),
        ),
        v4={_v4(found)},
        v4_removed=V4_REMOVED,
        known_as="{found.words}",
    ),
'''
    text = CASES.read_text(encoding="utf-8")
    CASES.write_text(text.removesuffix(")\n") + block + ")\n", encoding="utf-8")


def _is_switch(found: Family, key: str) -> bool:
    return key == "tie_word_embeddings" or (key in found.used and isinstance(found.defaults[key], bool))


def _v4(found: Family) -> str:
    if found.partial is not None:
        return f'{{**theta({found.theta!r}), "partial_rotary_factor": {found.partial}}}'
    return "V4_ROPE" if found.theta == 10_000.0 else f"theta({found.theta!r})"


def _tidy(*paths: Path) -> None:
    """Drops imports that nothing needs, and formats."""
    files = [str(path) for path in paths]
    for command in (["check", "--quiet", "--fix", "--select=F401,I"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, *files], cwd=ROOT, check=True)


def report(found: Family, path: Path) -> str:
    """What was written, and what is left to do."""
    left = [f"  - {question}" for question in found.questions]
    decide = (
        [f"To decide, in TODO of {path.relative_to(ROOT)}:", *left]
        if left
        else ["Nothing is left to decide."]
    )
    return "\n".join(
        [
            f"Wrote {path.relative_to(ROOT)}, its lines in registry, config_keys.json, cases and docs.",
            *decide,
            f"Then: scripts/test tests/families -k {found.model_type} --full",
            "CONTRIBUTING.md (a family in an hour) says what else belongs to it.",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
