"""What the kit holds: architectures, and programs of them in one bucket each, in order of value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

#: Generation options of each strategy; no end-of-sequence token, so that every row runs to its limit.
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "top-p": {"do_sample": True, "temperature": 0.8, "top_p": 0.9, "top_k": 0, "seed": 1},
    "generate": {
        "do_sample": True,
        "temperature": 0.8,
        "top_k": 50,
        "top_p": 0.9,
        "min_p": 0.02,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.1,
        "seed": 1,
    },
    "beam-4": {"num_beams": 4},
}

_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}

#: config.json of each architecture, as published.
CONFIGS: dict[str, dict[str, Any]] = {
    "llama3.1-8b": {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "rope_scaling": _LLAMA3_ROPE,
        "tie_word_embeddings": False,
    },
    "gpt2-124m": {"model_type": "gpt2"},
    "llama-1.1b": {
        "model_type": "llama",
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "vocab_size": 32000,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
    },
    "qwen3-30b-a3b": {
        "model_type": "qwen3_moe",
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "norm_topk_prob": True,
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "vocab_size": 151936,
        "max_position_embeddings": 40960,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
    },
}

_SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
}
#: What stands over a config of that model_type for a rehearsal on a CPU.
_TINY: dict[str, dict[str, Any]] = {
    "llama": _SMALL,
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 256},
    "qwen3_moe": {
        **_SMALL,
        "moe_intermediate_size": 32,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "head_dim": 16,
    },
}


@dataclass(frozen=True)
class Case:
    """A program in one bucket.

    Attributes:
      shape: key of ``CONFIGS``.
      dtype: what it computes in; ``weights``: how they are stored.
      strategy: key of ``STRATEGIES``.
      batch, prompt, new_tokens: rows, tokens of a prompt, the most tokens generated.
      tiny: the architecture with two layers of 64 features.
    """

    shape: str
    dtype: str
    strategy: str
    batch: int
    prompt: int
    new_tokens: int = 64
    weights: str = "plain"
    tiny: bool = False

    @property
    def model(self) -> str:
        """Cases of one model share their weights: ``llama3.1-8b.bfloat16``, with ``.int8`` behind it."""
        return f"{self.shape}.{self.dtype}" + (".int8" if self.weights == "int8" else "")

    @property
    def name(self) -> str:
        """``llama3.1-8b.bfloat16.greedy.b1.p128``: also the name of the files."""
        return f"{self.model}.{self.strategy}.b{self.batch}.p{self.prompt}"

    @property
    def config(self) -> dict[str, Any]:
        """config.json."""
        config = CONFIGS[self.shape]
        if not self.tiny:
            return config
        tiny = _TINY[config["model_type"]]
        return config | tiny


def _case(strategy: str, batch: int, prompt: int = 128, **more: Any) -> Case:
    return Case(
        **{"shape": "llama3.1-8b", "dtype": "bfloat16"} | more, strategy=strategy, batch=batch, prompt=prompt
    )


#: In order of value.
CASES = (
    _case("greedy", 1),
    _case("greedy", 1, 1024),
    _case("greedy", 32),
    _case("greedy", 1, weights="int8"),
    _case("top-p", 1),
    _case("generate", 1),
    _case("beam-4", 1),
    _case("greedy", 4),
    _case("greedy", 32, 1024),
    _case("top-p", 32),
    _case("generate", 32),
    _case("greedy", 1, shape="gpt2-124m", dtype="float32"),
    _case("greedy", 1, shape="gpt2-124m"),
    _case("greedy", 1, shape="llama-1.1b"),
    _case("greedy", 1, shape="qwen3-30b-a3b"),
)


def tiny_cases() -> tuple[Case, ...]:
    """Every case with two layers of 64 features and few tokens, each once: shows that runners run."""
    return tuple(
        replace(case, tiny=True, prompt=case.prompt // 16, batch=min(case.batch, 4), new_tokens=48)
        for case in CASES
    )
