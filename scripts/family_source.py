"""What the reference's source says of a family near Llama's plan; nothing of it is imported or run.

Classes are compared with Llama's own, statement by statement: norms, biases, names, query and key norms are
told; every statement that is neither Llama's nor one of these becomes a question.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.families.config_keys import ROTARY
from exporter.families.reader import GENERATION, HARMLESS
from exporter.families.scan import homes, keys_of, modelling, registered, shared_keys
from scripts.plain_source import Module

SIZES = {
    "vocab_size": "vocab",
    "hidden_size": "hidden",
    "intermediate_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "head_dim": "head_dim",
    "max_position_embeddings": "max_length",
}
REQUIRED = {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"}
# Statements of a layer: S saves the residual stream, N normalises, A and M are the branches, + adds.
_LAYER = (
    (r"residual = hidden_states", "S"),
    (r"hidden_states(, \w+)? = self\.self_attn\(\)", "A"),
    (r"hidden_states = self\.mlp\(hidden_states\)", "M"),
    (r"hidden_states = (residual \+ hidden_states|hidden_states \+ residual)", "+"),
    (r"hidden_states = self\.(?P<name>\w+)\(hidden_states\)", "N"),
    (r"return hidden_states", ""),
)
_NORMS = ("attention_norm", "attention_out_norm", "mlp_norm", "mlp_out_norm")


@dataclass
class Family:
    """What was found.

    Attributes:
      words: what the classes' names begin with, "Llama".
      defaults: the config class's fields.
      norms: our names of a layer's norms -> the reference's.
      norm: source of the norm itself.
      biases: of q_proj, o_proj, up_proj: source of a flag.
      qk_norm: the reference's names of query and key norm, and whether they come behind the rotation.
      questions: what a person must decide.
    """

    model_type: str
    words: str
    config_class: str
    model_class: str
    defaults: dict[str, Any]
    theta: float = 10_000.0
    partial: float | None = None
    interleaved: bool = False
    aliases: dict[str, str] = field(default_factory=dict)
    norms: dict[str, str] = field(default_factory=dict)
    norm: str = "rms_norm(config)"
    epsilon: str = "rms_norm_eps"
    gated: bool = True
    biases: dict[str, str] = field(default_factory=dict)
    qk_norm: tuple[str, str] | None = None
    qk_norm_last: bool = False
    harmless: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    questions: list[str] = field(default_factory=list)

    def flag(self, expression: str, default: bool) -> str:
        """Source of a switch: a key of the config, or what it always is."""
        if expression in {"True", "False", ""}:
            return expression or str(default)
        key = expression.removeprefix("config.")
        if key.isidentifier() and isinstance(self.defaults.get(key), bool):
            self.used.add(key)
            return f'config.flag("{key}", {self.defaults[key]})'
        self.questions.append(f"bias={expression}")
        return "False"


def read_family(root: Path, model_type: str) -> Family:
    """What the package at ``root`` says of a model_type.

    Raises:
      LookupError: it has no such type, or none that generates text.
    """
    if model_type not in homes(root) or model_type not in registered(root):
        raise LookupError(f"{root} has no {model_type!r} that generates text")
    model_class = registered(root)[model_type]
    config = _config_class(homes(root)[model_type], model_type)
    found = Family(
        model_type,
        model_class.removesuffix("ForCausalLM"),
        config.name,
        model_class,
        _defaults(config),
    )
    _of_config(found, config)
    theirs = Module(modelling(root, model_type), found.words)
    llama = Module(modelling(root, "llama"), "Llama")
    _of_layer(found, theirs)
    _of_attention(found, theirs, llama)
    _of_mlp(found, theirs)
    _of_rotary(found, theirs, llama)
    for part in ("Model", "ForCausalLM"):
        _differences(found, part, theirs.forward(part), llama.forward(part))
    _of_keys(found, root)
    return found


def _config_class(path: Path, model_type: str) -> ast.ClassDef:
    classes = [
        node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)
    ]
    return next(node for node in classes if f"model_type = '{model_type}'" in ast.unparse(node))


def _defaults(config: ast.ClassDef) -> dict[str, Any]:
    """The fields' values; of a field that checks itself (``interval(...)(default=...)``), its default's."""
    found = {}
    for line in config.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value:
            value = line.value
            if isinstance(value, ast.Call):
                value = next((word.value for word in value.keywords if word.arg == "default"), value)
            found[line.target.id] = _value(value)
    return found


def _value(node: ast.expr) -> Any:
    """A literal, or a product of some; None for anything else."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _value(node.left) * _value(node.right)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _of_config(found: Family, config: ast.ClassDef) -> None:
    text = ast.unparse(config)
    for line in config.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            name = line.targets[0].id
            if name == "default_theta":
                found.theta = _value(line.value)
            elif name == "attribute_map":
                found.aliases = ast.literal_eval(line.value)
    if given := re.search(r"setdefault\('partial_rotary_factor', ([\d.]+)\)", text):
        found.partial = float(given[1])
    if "self.rope_parameters = {" in text:
        found.questions.append(f"{config.name} has rotary parameters of its own where there are none")
    if lacking := sorted(REQUIRED - found.defaults.keys()):
        found.questions.append(f"{config.name} has no {', '.join(lacking)}: name its sizes with Keys")


def _of_layer(found: Family, theirs: Module) -> None:
    plan, names = "", []
    for statement in theirs.forward("DecoderLayer"):
        for pattern, letter in _LAYER:
            if match := re.fullmatch(pattern, statement):
                plan += letter
                names += [match["name"]] if letter == "N" else []
                break
        else:
            found.questions.append(f"{found.words}DecoderLayer.forward: {statement}")
    order = re.fullmatch(r"S(N?)A(N?)\+S(N?)M(N?)\+", plan)
    if order is None:
        found.questions.append(
            f"{found.words}DecoderLayer.forward adds its branches in another order: {plan}"
        )
        return
    found.norms = dict(
        zip([own for own, there in zip(_NORMS, order.groups(), strict=True) if there], names, strict=True)
    )
    made = theirs.members("DecoderLayer").get(names[0]) if names else None
    if isinstance(made, ast.Call):
        _of_norm(found, theirs, made)


def _of_norm(found: Family, theirs: Module, made: ast.Call) -> None:
    """``made``: how a layer makes one of its norms."""
    given = next((ast.unparse(word.value) for word in made.keywords if word.arg == "eps"), "")
    key = given.removeprefix("config.")
    default, found.epsilon = found.defaults.get(key), key
    found.used.add(key)
    if ast.unparse(made.func) == "nn.LayerNorm":
        found.norm = f'layer_norm(config, "{key}", {default})'
        return
    result = (theirs.forward(ast.unparse(made.func)) or [""])[-1]
    found.norm = f"rms_norm(config, {default})"
    if re.fullmatch(
        r"return \(self\.weight(\.to\(torch\.float32\))? \* hidden_states\)\.to\(input_dtype\)", result
    ):
        found.norm = f"replace({found.norm}, round_first=False)"
    elif result != "return self.weight * hidden_states.to(input_dtype)" or key != "rms_norm_eps":
        found.questions.append(f"{found.words}{ast.unparse(made.func)} of {given}: {result}")


def _of_attention(found: Family, theirs: Module, llama: Module) -> None:
    members = theirs.members("Attention")
    found.biases["qkv"] = _bias(found, members, "q_proj", "k_proj", "v_proj")
    found.biases["out"] = _bias(found, members, "o_proj")
    own, turned, norms = theirs.forward("Attention"), False, {}
    rest = []
    for statement in own:
        turned |= "apply_rotary_pos_emb(" in statement
        if match := re.fullmatch(r"(query|key)_states = self\.(\w+)\(\1_states\)", statement):
            norms[match[1]], found.qk_norm_last = match[2], turned
        elif match := re.search(
            r"self\.(\w+)\((self\.([qk])_proj\(hidden_states\)\.view\(hidden_shape\))\)", statement
        ):
            norms["query" if match[3] == "q" else "key"] = match[1]
            rest.append(statement.replace(match[0], match[2]))
        else:
            rest.append(statement)
    if norms:
        found.qk_norm = norms.get("query", ""), norms.get("key", "")
    _differences(found, "Attention", rest, llama.forward("Attention"))
    scale = ast.unparse(members["scaling"]) if "scaling" in members else "missing"
    if not re.fullmatch(r"self\.head_dim \*\* \(?-0\.5\)?", scale):
        found.questions.append(f"{found.words}Attention.scaling = {scale}")


def _bias(found: Family, members: dict[str, ast.expr], *names: str) -> str:
    given = set()
    for name in names:
        made = members.get(name)
        if not isinstance(made, ast.Call):
            found.questions.append(f"{found.words} has no {name}: say which Names it has")
            return "False"
        given.add(next((ast.unparse(word.value) for word in made.keywords if word.arg == "bias"), "True"))
    if len(given) > 1:
        found.questions.append(f"biases of {', '.join(names)} differ: {', '.join(sorted(given))}")
    return found.flag(min(given), default=True)


def _of_mlp(found: Family, theirs: Module) -> None:
    members, text = theirs.members("MLP"), " ".join(theirs.forward("MLP"))
    found.gated = "gate_proj" in members
    gated = "self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))"
    if (gated if found.gated else "self.down_proj(self.act_fn(self.up_proj(x)))") not in text:
        found.questions.append(f"{found.words}MLP.forward: {text}")
    names = ("gate_proj", "up_proj", "down_proj") if found.gated else ("up_proj", "down_proj")
    found.biases["mlp"] = _bias(found, members, *names)
    if "act_fn" not in members or ast.unparse(members["act_fn"]) != "ACT2FN[config.hidden_act]":
        found.questions.append(f"{found.words}MLP's activation is not hidden_act")
    found.used.add("hidden_act")


def _of_rotary(found: Family, theirs: Module, llama: Module) -> None:
    text = " ".join(theirs.forward("rotate_half"))
    found.interleaved = "0::2" in text
    if not found.interleaved and theirs.forward("rotate_half") != llama.forward("rotate_half"):
        found.questions.append(f"rotate_half: {text}")
    if not found.interleaved and found.partial is None:
        _differences(
            found, "apply_rotary_pos_emb", *(it.forward("apply_rotary_pos_emb") for it in (theirs, llama))
        )
    _differences(found, "RotaryEmbedding", *(it.forward("RotaryEmbedding") for it in (theirs, llama)))


def _differences(found: Family, part: str, theirs: list[str], llama: list[str]) -> None:
    """Every statement that only one of the two has is a question."""
    name = part if part.islower() else f"{found.words}{part}.forward"
    found.questions += [f"{name}: {statement}" for statement in theirs if statement not in llama]
    found.questions += [f"{name} lacks {statement}" for statement in llama if statement not in theirs]


def _of_keys(found: Family, root: Path) -> None:
    """Keys that the classes read and nothing above asked for."""
    known = {*SIZES, *found.used, *HARMLESS, *GENERATION, *ROTARY, *found.aliases, "tie_word_embeddings"}
    for key in sorted(keys_of(root, found.model_type).config - shared_keys(root).config - known):
        if re.search("dropout|pdrop", key):
            found.harmless.append(key)
        elif key in found.defaults:
            found.questions.append(f"config key {key} ({found.defaults[key]!r}): what does it change?")
