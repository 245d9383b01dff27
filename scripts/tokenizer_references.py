"""On how many strings the compiled reference of a published tokenizer differs from AutoTokenizer, 5 and 4.57.

Version 4.57 runs in an environment of its own (``scripts/reference_environment.sh``).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("transformers 5", "transformers 4.57")

#: What the test data leaves out of a checkpoint, and both versions need: model_type, or a file's own name.
MODEL_TYPES = {
    "bert-base-cased": "bert",
    "bert-base-uncased": "bert",
    "gpt-neox-20b": "gpt_neox",
    "gpt2 from vocab.json": "gpt2",
    "mistral-nemo": "mistral",
    "openai-gpt": "openai-gpt",
    "roberta-base": "roberta",
    "whisper-tiny": "whisper",
}
RENAMED = {"tokenizer.model.v3": "tokenizer.model"}


def as_published(name: str, source: Path, directory: Path) -> Path:
    """A copy of ``source`` with the config.json that every checkpoint has."""
    target = directory / "published" / name.replace(" ", "-")
    shutil.copytree(source, target)
    for old, new in RENAMED.items():
        if (target / old).is_file():
            (target / old).rename(target / new)
    if not (target / "config.json").is_file() and name in MODEL_TYPES:
        (target / "config.json").write_text(json.dumps({"model_type": MODEL_TYPES[name]}))
    return target


def differences(name: str, source: Path, lines: Sequence[str], directory: Path) -> dict[str, Any]:
    """Version -> on how many strings its ids are others, or why it cannot be asked; and how many strings."""
    from exporter.errors import GenserveError
    from exporter.tokenizer.oracles import answer
    from exporter.tokenizer.reference import reference_of
    from exporter.tokenizer.samples import sample_strings
    from exporter.tokenizer.sources import read_source

    source = as_published(name, source, directory)
    compiled = reference_of(read_source(source))
    texts = [*lines, *sample_strings(2000, tokens=compiled.tokens)]
    wanted = [answer(compiled, text) for text in texts]
    found: dict[str, Any] = {"strings": len(texts)}
    try:
        installed = reference_of(read_source(source, "transformers"))
        found[VERSIONS[0]] = _differing(wanted, [answer(installed, text) for text in texts])
    except GenserveError as error:
        found[VERSIONS[0]] = _why(str(error), source)
    older = _older(source, texts)
    found[VERSIONS[1]] = older if isinstance(older, str) else _differing(wanted, older)
    return found


def _differing(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    return sum(left != right for left, right in zip(ours, theirs, strict=True))


def _older(source: Path, texts: Sequence[str]) -> list[list[int] | None] | str:
    script = ROOT / "scripts" / "reference_environment.sh"
    python = subprocess.run([script], capture_output=True, text=True, check=True).stdout.strip()
    job = {"sources": {"it": str(source)}, "texts": {"it": list(texts)}}
    command = [python, ROOT / "scripts" / "tokenize_texts.py"]
    run = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=True)
    answers = json.loads(run.stdout)
    if answers["unreadable"]:
        return _why(answers["unreadable"]["it"], source)
    return list(answers["ids"]["it"])


def _why(message: str, source: Path) -> str:
    """One short line without this machine's paths."""
    line = message.splitlines()[0].replace(str(source), "the checkpoint").split("; ")[0]
    reason = line.rsplit("tokenizer files: ", 1)[-1].replace("|", "/")
    return f"cannot read it: {textwrap.shorten(reason, 100)}"
