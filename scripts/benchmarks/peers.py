"""Who is measured: environment, runner script and reach of every peer."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from scripts.benchmarks.cases import MODEL_CASES, SEED_CASES, Case

#: Environment -> what pip installs into .venv-bench-NAME; "main" is the project's own .venv.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "main": (),
    # The last transformers with TensorFlow classes; its Keras is the old one.
    "tf": ("transformers==4.57.*", "tensorflow>=2.19,<2.22", "tf-keras>=2.19,<2.22"),
    "keras-hub": ("keras-hub>=0.20,<1", "tensorflow>=2.19,<2.22", "tensorflow-text>=2.19,<2.22"),
    # Its converter reads checkpoints with transformers and PyTorch.
    "ctranslate2": ("ctranslate2>=4.6,<5", "transformers==4.57.*", "torch<=2.13.0"),
}

#: What most peers are measured at; of our own kind alone are text, prompt lookup and many processors at once.
_COMMON = ("gpt2-124m.*.b[18].*", "t5-small.*", "tiny-*")
#: Slow peers, or peers that no further target names.
_GREEDY = ("gpt2-124m.greedy.b[18].p32.*", "tiny-gpt2.greedy.*")
_SOME = (*_GREEDY, "gpt2-124m.top-p.*", "gpt2-124m.beam-4.b8.p32.*", "t5-small.greedy.*", "tiny-*")


@dataclass(frozen=True)
class Peer:
    """A way to generate.

    Attributes:
      environment: key of ``ENVIRONMENTS``.
      runner: script in ``runners/``.
      variant: what the runner is told to do; each runner documents its own.
      cases: patterns of the names of cases that the peer is measured at.
      seed: whether the article that genserve starts from compares with it (``SEED_CASES``).
    """

    environment: str
    runner: str
    variant: str = ""
    cases: tuple[str, ...] = _COMMON
    seed: bool = False

    def can(self, case: Case) -> bool:
        """Whether the peer is measured at the case; others than genserve get ids, and have no lookup."""
        if self.runner == "genserve":
            return True
        if case in SEED_CASES:
            return self.seed
        if case in MODEL_CASES:
            return (self.runner, self.variant) == ("transformers_torch", "dynamic")
        ours = case.text or case.strategy in ("lookup", "processors")
        return not ours and any(fnmatch.fnmatch(case.name, pattern) for pattern in self.cases)


PEERS = {
    "genserve": Peer("main", "genserve"),
    "tf-eager": Peer("tf", "transformers_tf", "eager", _GREEDY, seed=True),
    "tf-graph": Peer("tf", "transformers_tf", "graph", _GREEDY, seed=True),
    "tf-xla": Peer("tf", "transformers_tf", "xla", seed=True),
    "torch": Peer("main", "transformers_torch", "dynamic", (*_SOME, "mla-tiny.*"), seed=True),
    "torch-static": Peer("main", "transformers_torch", "static", _GREEDY),
    "keras-hub": Peer("keras-hub", "keras_hub_gpt2", cases=_GREEDY),
    "ctranslate2": Peer("ctranslate2", "ctranslate2_cpu", "float32"),
    "ctranslate2-int8": Peer("ctranslate2", "ctranslate2_cpu", "int8", _SOME),
}
