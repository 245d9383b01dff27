"""On a GPU nothing but the decode loop waits for the host, whatever a model's layers carry or borrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exporter.model import Transformer, blocks, delta, mamba, mamba2
from exporter.targets import compiled_for
from tests.families.case import marked
from tests.generation.hlo import loops, parse, uncounted_loops
from tests.model import test_state
from tests.model.test_runs import T5, compiled_search
from tests.model.toys import BORROWED, CONFIGS, PARTS, SIZES, prompt_of, random_model, stacked

BUCKET, PROMPTS, SIZE = 13, [[5, 9, 2, 44, 17, 3, 8, 9, 30, 41, 6], [7]], 4
STATES = test_state.CONFIGS
CHUNKS: dict[str, Any] = {
    "model_type": "llama4_text",
    **SIZES,
    "head_dim": 4,
    "attention_chunk_size": 5,
    "layer_types": ["chunked_attention", "full_attention"],
    "no_rope_layers": [1, 0],
    "moe_layers": [],
    "intermediate_size_mlp": 12,
}
#: As few layers as have each mechanism: the last one reads no blocks.
SMALL: dict[str, dict[str, Any]] = {
    "gated delta net": {
        **STATES["gated delta net"],
        "num_hidden_layers": 1,
        "layer_types": ["linear_attention"],
    },
    "Mamba 2 beside attention": {**STATES["Mamba 2 beside attention"], "num_hidden_layers": 1},
    "latent": CONFIGS["latent"],
    "chunks": CHUNKS,
    "borrowed": {
        **BORROWED,
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "encoder-decoder": {**T5, "num_layers": 1},
}


@pytest.fixture(autouse=True)
def pieces_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts of several chunks and blocks: what reads them are loops."""
    monkeypatch.setitem(blocks.BLOCK, "gpu", SIZE)
    for module in (delta, mamba, mamba2):
        monkeypatch.setattr(module, "CHUNK", SIZE)


def check(model: Transformer, **options: Any) -> None:
    with compiled_for("gpu"):
        compiled = compiled_search(model, **options)
        ask: Callable[..., str] = compiled.experimental_get_compiler_ir(*prompt_of(PROMPTS, BUCKET)[:2])
        program = ask(stage="optimized_hlo")
    assert len(uncounted_loops(program)) == 1
    assert len(loops(parse(program))) > 1, "what reads the prompt, and steps"
    assert " conditional(" not in program


@pytest.mark.parametrize("name", [pytest.param(name, marks=marked(name == "borrowed")) for name in SMALL])
def test_the_decode_loop_alone_is_not_counted(name: str) -> None:
    check(random_model(SMALL[name]))


@pytest.mark.full
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True, "top_p": 0.9}])
@pytest.mark.parametrize("name", [*STATES, "latent", "borrowed", "chunks", "parts", "encoder-decoder"])
def test_nor_is_any_other_loop_of_more_layers(name: str, options: dict[str, Any]) -> None:
    """Layers that can be are stacked."""
    other = {
        "latent": CONFIGS["latent"],
        "borrowed": BORROWED,
        "chunks": CHUNKS,
        "parts": PARTS,
        "encoder-decoder": T5,
    }
    check(stacked(random_model({**STATES, **other}[name])), **options)
