"""What is measured: shapes, strategies, cases, and the ratios that genserve is meant to reach."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

#: ``model_type`` of the reference, or a published checkpoint.
Kind = Literal["gpt2", "t5", "deepseek_v3", "lfm2", "qwen3_5_text", "published"]


@dataclass(frozen=True)
class Shape:
    """A random-weight checkpoint: the architecture and the config keys that differ from its defaults.

    Of a published one (``scripts/real_models.py``) there is only its directory's name in
    ``GENSERVE_REAL_MODELS``.
    """

    kind: Kind
    config: dict[str, Any] = field(default_factory=dict)
    #: The positions' embeddings times this: large, and the next token depends on its position alone, so that
    #: no text repeats itself. (At 1 a random GPT-2 says its last token for ever.)
    position_scale: float = 1.0


_LFM2: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 6656,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "full_attn_idxs": [2, 5, 8, 10, 12, 14],
    "vocab_size": 32768,
}
_QWEN3_5: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 3584,
    "num_hidden_layers": 24,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "linear_num_value_heads": 16,
    "tie_word_embeddings": True,
    "vocab_size": 32768,
}
_LATENT = {
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "kv_lora_rank": 256,
    "q_lora_rank": 384,
    "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 32,
    "v_head_dim": 64,
    "moe_intermediate_size": 512,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "vocab_size": 32000,
}

SHAPES = {
    "gpt2-124m": Shape("gpt2", {}),
    "gpt2-124m-varied": Shape("gpt2", {}, position_scale=100.0),
    "t5-small": Shape("t5", {}),
    "SmolLM2-135M-Instruct": Shape("published"),
    "gemma-3-270m": Shape("published"),
    # LFM2-350M and Qwen3.5-0.8B, with a smaller vocabulary: the table would count most.
    "lfm2-350m": Shape("lfm2", _LFM2),
    "qwen3.5-0.8b": Shape("qwen3_5_text", _QWEN3_5),
    "mla-190m": Shape("deepseek_v3", _LATENT),
    "mla-tiny": Shape(
        "deepseek_v3", {**_LATENT, "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 512}
    ),
    "tiny-gpt2": Shape("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 512}),
    "tiny-t5": Shape("t5", {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "vocab_size": 512}),
}

#: Strategy -> generation options, by transformers' names.
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    # Greedy, for models that know an end: it is put off until all tokens are there.
    "forced": {"min_new_tokens": 32},
    # What `do_sample=True` alone means: the 50 likeliest tokens.
    "sample": {"do_sample": True, "top_k": 50},
    "top-p": {"do_sample": True, "top_p": 0.9, "top_k": 0},
    "processors": {
        "do_sample": True,
        "top_p": 0.9,
        "top_k": 50,
        "min_p": 0.02,
        "repetition_penalty": 1.1,
        "no_repeat_ngram_size": 3,
    },
    "beam-4": {"num_beams": 4},
    "lookup": {"prompt_lookup_num_tokens": 10},
}


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
      shape: key of ``SHAPES``.
      strategy: key of ``STRATEGIES``.
      batch, prompt, new_tokens: rows, tokens per prompt (T5: per source text), tokens generated per row.
      text: strings in, strings out; else ids.
    """

    shape: str
    strategy: str
    batch: int
    prompt: int
    new_tokens: int = 64
    text: bool = False

    @property
    def name(self) -> str:
        """``gpt2-124m.greedy.b8.p32.n64``: also the name of the result's file."""
        name = f"{self.shape}.{self.strategy}.b{self.batch}.p{self.prompt}.n{self.new_tokens}"
        return f"{name}.text" if self.text else name

    @property
    def tokens(self) -> int:
        """Generated tokens that are counted: one sequence per prompt, whatever the number of beams."""
        return self.batch * self.new_tokens


@dataclass(frozen=True)
class Target:
    """``case`` at ``least`` times the tokens per second of ``peer``, or of our own case ``than``."""

    case: Case
    least: float
    peer: str | None = None
    than: Case | None = None


@dataclass(frozen=True)
class Limit:
    """A figure of one of our results that must not go beyond ``bound``.

    Attributes:
      figure: "compile": seconds of the first call beyond a warm one, over tf-xla's (which also traces in it);
        "graph": bytes of saved_model.pb; "export", "load": seconds; "tokenizer": seconds of encoding prompts
        and decoding answers, over those of the request; "bandwidth": bytes of weights times steps, over what
        memory can give in that time, as measured after each call.
      least: the figure must not be below the bound; else not above.
    """

    figure: Literal["compile", "graph", "export", "load", "tokenizer", "bandwidth"]
    case: Case
    bound: float
    least: bool = False


def _gpt2(strategy: str, batch: int, prompt: int) -> Case:
    return Case("gpt2-124m", strategy, batch, prompt)


GREEDY_1, GREEDY_8, GREEDY_8_LONG = _gpt2("greedy", 1, 32), _gpt2("greedy", 8, 32), _gpt2("greedy", 8, 512)
TOP_P, PROCESSORS = _gpt2("top-p", 8, 32), _gpt2("processors", 8, 32)
BEAM_1, BEAM_8, BEAM_8_LONG = _gpt2("beam-4", 1, 32), _gpt2("beam-4", 8, 32), _gpt2("beam-4", 8, 512)
TEXT = Case("gpt2-124m", "greedy", 1, 32, text=True)
SAME_1, SAME_2 = _gpt2("lookup", 1, 32), _gpt2("lookup", 2, 32)
VARIED_1, VARIED_2 = (Case("gpt2-124m-varied", "lookup", batch, 32) for batch in (1, 2))
T5_CASES = tuple(
    Case("t5-small", strategy, batch, 64) for strategy in ("greedy", "beam-4") for batch in (1, 8)
)

TARGETS = (
    Target(GREEDY_1, 1.0, "tf-xla"),
    Target(GREEDY_1, 1.0, "ctranslate2"),
    Target(GREEDY_1, 2.0, "torch"),
    Target(GREEDY_1, 2.0, "keras-hub"),
    Target(GREEDY_1, 10.0, "tf-eager"),
    Target(GREEDY_8, 1.1, "tf-xla"),
    Target(GREEDY_8, 1.3, "ctranslate2"),
    Target(GREEDY_8, 2.3, "torch"),
    Target(GREEDY_8_LONG, 1.5, "tf-xla"),
    Target(GREEDY_8_LONG, 1.0, "ctranslate2"),
    Target(TOP_P, 4.0, "tf-xla"),
    Target(TOP_P, 0.9, than=GREEDY_8),
    Target(PROCESSORS, 0.75, than=GREEDY_8),
    Target(BEAM_8_LONG, 3.0, "tf-xla"),
    Target(BEAM_8_LONG, 3.0, "ctranslate2"),
    Target(BEAM_8, 1.5, "tf-xla"),
    Target(BEAM_8, 1.5, "ctranslate2"),
    Target(BEAM_1, 1.3, "tf-xla"),
    Target(BEAM_1, 1.3, "ctranslate2"),
    *(Target(case, 1.3, "tf-xla") for case in T5_CASES),
    *(Target(case, 2.0, than=replace(case, strategy="greedy")) for case in (SAME_1, SAME_2)),
    *(Target(case, 0.9, than=replace(case, strategy="greedy")) for case in (VARIED_1, VARIED_2)),
)

LIMITS = (
    Limit("bandwidth", GREEDY_1, 0.9, least=True),
    *(Limit("compile", case, 0.5) for case in (GREEDY_1, GREEDY_8, GREEDY_8_LONG, BEAM_8, *T5_CASES)),
    Limit("graph", TEXT, 3e6),
    Limit("export", TEXT, 30.0),
    Limit("load", TEXT, 3.0),
    Limit("tokenizer", TEXT, 0.02),
)

#: Every case that a target or a limit names, once, in order.
TARGET_CASES = tuple(
    dict.fromkeys(
        [case for target in TARGETS for case in (target.case, target.than) if case is not None]
        + [limit.case for limit in LIMITS]
    )
)

#: The comparison that "Faster TensorFlow Text Generation with XLA" (Hugging Face, 2022) speaks of: what it
#: samples and searches with, batch sizes and prompt lengths, on the article's ways to generate and on
#: genserve.
SEED_CASES = tuple(
    Case("gpt2-124m", strategy, batch, prompt, 32)
    for strategy in ("sample", "beam-4")
    for batch, prompt in ((1, 32), (8, 32), (8, 256))
)

#: Beside the reference, without targets: the published models of the real tier, and mechanisms that GPT-2
#: lacks (latent attention, short convolutions, delta nets).
MODEL_CASES = tuple(
    Case(shape, "forced", batch, prompt, 32)
    for shape in ("SmolLM2-135M-Instruct", "gemma-3-270m", "mla-190m", "lfm2-350m", "qwen3.5-0.8b")
    for batch, prompt in ((1, 32), (8, 256))
)

#: For the charts, genserve alone: one axis moves, the others rest.
SWEEPS = {
    "prompt": tuple(Case("gpt2-124m", "greedy", 1, prompt, 16) for prompt in (1, 16, 64, 256, 512, 1000)),
    "batch": tuple(Case("gpt2-124m", "greedy", batch, 32, 16) for batch in (1, 2, 4, 8, 16, 32)),
    "new_tokens": tuple(Case("gpt2-124m", "greedy", 1, 32, new) for new in (1, 32, 64, 128, 256, 512)),
}

#: Seconds instead of hours: shows that every runner runs, and nothing about speed.
SMOKE_CASES = (
    Case("tiny-gpt2", "greedy", 2, 16, 8),
    Case("tiny-gpt2", "sample", 2, 16, 8),
    Case("tiny-gpt2", "top-p", 2, 16, 8),
    Case("tiny-gpt2", "processors", 2, 16, 8),
    Case("tiny-gpt2", "beam-4", 2, 16, 8),
    Case("tiny-gpt2", "lookup", 2, 16, 8),
    Case("tiny-gpt2", "greedy", 2, 16, 8, text=True),
    Case("mla-tiny", "greedy", 2, 16, 8),
    Case("tiny-t5", "greedy", 2, 16, 8),
    Case("tiny-t5", "beam-4", 2, 16, 8),
)
