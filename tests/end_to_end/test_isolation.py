"""A process with nothing but tensorflow and tensorflow_text loads and runs every signature."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.exporting.pipeline import ExportResult

pytestmark = pytest.mark.end_to_end

_SCRIPT = """
import json, sys

class Blocked:
    '''Refuses everything that a server does not have.'''
    names = {"exporter", "serving_configs", "transformers", "tokenizers", "torch", "safetensors",
             "sentencepiece", "huggingface_hub", "pydantic", "tensorflow_serving"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"{name} is blocked")
        return None

sys.meta_path.insert(0, Blocked())
import tensorflow as tf
import tensorflow_text

signatures = tf.saved_model.load(sys.argv[1]).signatures
def ask(name, **inputs):
    answer = signatures[name](**{k: tf.constant(v) for k, v in inputs.items()})
    return {k: v.numpy() for k, v in answer.items()}

texts = ["Once upon a time", "1, 2, 3,"]
default = ask("serving_default", text=texts)
encoded = ask("encode", text=texts)
width = signatures["tokens"].structured_input_signature[1]["input_ids"].shape[1]
wide = [row.tolist() + [0] * (width - len(row)) for row in encoded["input_ids"]]
tokens = ask("tokens", input_ids=wide, num_tokens=encoded["num_tokens"])
width = signatures["decode"].structured_input_signature[1]["input_ids"].shape[1]
wide = [row.tolist() + [0] * (width - len(row)) for row in tokens["generated_ids"]]
decoded = ask("decode", input_ids=wide, num_tokens=tokens["num_tokens"])
empty = ask("serving_default", text=tf.zeros([0], tf.string))
print(json.dumps({
    "signatures": sorted(signatures),
    "default": [t.decode() for t in default["generated_text"]],
    "decoded": [t.decode() for t in decoded["text"]],
    "empty": [list(v.shape) for v in empty.values()],
    "blocked": sorted(Blocked.names & set(sys.modules)),
}))
"""


def check_isolated(directory: Path) -> None:
    """Runs every signature of a version in a process without the exporter and the reference libraries."""
    process = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(directory)],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
    )
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout.splitlines()[-1])
    assert set(answer["signatures"]) >= {"serving_default", "tokens", "encode", "decode"}
    assert answer["blocked"] == []
    assert answer["default"] == answer["decoded"]
    assert all(answer["default"])
    assert {tuple(shape) for shape in answer["empty"]} == {(0,)}


def test_runs_without_the_exporter(stories: ExportResult) -> None:
    check_isolated(stories.directory)
