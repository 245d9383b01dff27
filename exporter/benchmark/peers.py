"""Who is measured: environment, runner script and reach of every peer."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.benchmark.cases import SHAPES, Case, Kind

#: Environment -> what pip installs into .venv-bench-NAME; "main" is the project's own .venv.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "main": (),
    # The last transformers with TensorFlow classes; its Keras is the old one.
    "tf": ("transformers==4.57.*", "tensorflow>=2.19,<2.22", "tf-keras>=2.19,<2.22"),
    "keras-hub": ("keras-hub>=0.20,<1", "tensorflow>=2.19,<2.22", "tensorflow-text>=2.19,<2.22"),
    # Its converter reads checkpoints with transformers and PyTorch.
    "ctranslate2": ("ctranslate2>=4.6,<5", "transformers==4.57.*", "torch<=2.13.0"),
}

_ALL_STRATEGIES = ("greedy", "top-p", "processors", "beam-4")


@dataclass(frozen=True)
class Peer:
    """A way to generate.

    Attributes:
      environment: key of ``ENVIRONMENTS``.
      runner: script in ``runners/``.
      variant: what the runner is told to do; each runner documents its own.
      kinds, strategies: what the peer can do at all.
    """

    environment: str
    runner: str
    variant: str = ""
    kinds: tuple[Kind, ...] = ("gpt2", "t5")
    strategies: tuple[str, ...] = _ALL_STRATEGIES

    def can(self, case: Case) -> bool:
        """Whether the case lies within the peer's reach."""
        return SHAPES[case.shape].kind in self.kinds and case.strategy in self.strategies


PEERS = {
    "genserve": Peer("main", "genserve"),
    "tf-eager": Peer("tf", "transformers_tf", "eager", strategies=("greedy", "top-p", "beam-4")),
    "tf-graph": Peer("tf", "transformers_tf", "graph", strategies=("greedy", "top-p", "beam-4")),
    "tf-xla": Peer("tf", "transformers_tf", "xla", strategies=("greedy", "top-p", "beam-4")),
    "torch": Peer("main", "transformers_torch", "dynamic"),
    "torch-static": Peer("main", "transformers_torch", "static"),
    "keras-hub": Peer(
        "keras-hub", "keras_hub_gpt2", kinds=("gpt2",), strategies=("greedy", "top-p", "beam-4")
    ),
    "ctranslate2": Peer(
        "ctranslate2", "ctranslate2_cpu", "float32", strategies=("greedy", "top-p", "beam-4")
    ),
    "ctranslate2-int8": Peer(
        "ctranslate2", "ctranslate2_cpu", "int8", strategies=("greedy", "top-p", "beam-4")
    ),
}
