"""Where heads round in half precision, to the last bit: beside the reference's on given hidden states."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from exporter.families import read_spec
from exporter.model.embedding import logits_of
from tests.encoder_decoder.cases import FAMILIES as ENCODER_DECODER
from tests.families import reference
from tests.families.case import marked
from tests.families.cases import BY_TYPE, VOCAB
from tests.families.half_precision import DTYPES

pytestmark = pytest.mark.parity

CAP, T5 = {"final_logit_softcapping": 7.0}, {"d_model": 24, "scale_decoder_outputs": True}
#: What each type's head does to logits, or to what it reads, that its first case may not do.
HEADS: dict[str, dict[str, Any]] = {
    "gemma2": CAP,
    "gemma3_text": CAP,
    "gemma3n_text": CAP,
    "gemma4_text": CAP,
    "vaultgemma": CAP,
    "nanochat": CAP,
    "recurrent_gemma": {"logits_soft_cap": 7.0},
    "granite": {"logits_scaling": 3.0},
    "cohere": {"logit_scale": 0.3},
    "falcon_h1": {"lm_head_multiplier": 0.3},
    "minicpm3": {"dim_model_base": 10},
    "t5": T5,
}
#: One of each: a cap, a factor, a factor of what is read.
QUICK = {"gemma2", "granite", "t5"}
CASES = BY_TYPE | {family.model_type: family for family in ENCODER_DECODER}


def reference_of(model_type: str, dtype: str) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """The model with a random head, hidden states of one 1 each, and its logits of these.

    Products with them are exact, so that nothing is left to the order of sums.
    """
    family = CASES[model_type]
    case = replace(family.cases[0], config={**family.cases[0].config, **HEADS[model_type]})
    model = reference.build(family, case).to(getattr(torch, dtype))
    spread = 6 * torch.randn(model.lm_head.weight.shape, generator=torch.Generator().manual_seed(1))
    model.lm_head.weight = torch.nn.Parameter(spread.to(model.dtype))
    states = torch.eye(spread.shape[1], dtype=model.dtype)[None]

    def given(module: Any, inputs: Any, output: Any) -> Any:
        output.last_hidden_state = states
        return output

    whole = model.config.is_encoder_decoder
    (model.decoder if whole else model.model).register_forward_hook(given)
    ids = torch.arange(states.shape[1])[None] % (VOCAB - 3) + 3
    with torch.no_grad():
        asked = {"decoder_input_ids": ids} if whole else {}
        return model, states, model(ids, use_cache=False, **asked).logits


def held(x: torch.Tensor, dtype: str) -> tf.Tensor:
    return tf.cast(x.detach().float().numpy(), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "model_type", [pytest.param(name, marks=marked(name not in QUICK)) for name in HEADS]
)
def test_logits_are_the_reference_s_numbers(model_type: str, dtype: str) -> None:
    """Compiled too: where two tokens tie in half precision, the same one must come first."""
    model, states, theirs = reference_of(model_type, dtype)
    assert theirs.dtype == model.dtype
    kernel, expected = held(model.lm_head.weight.T, dtype), theirs.float().numpy()
    ours = partial(logits_of, read_spec(model.config.to_dict()), {"head.kernel": kernel})
    compiled = tf.function(ours, jit_compile=True, autograph=False)
    for found in (ours(held(states, dtype)), compiled(held(states, dtype))):
        logits = np.asarray(found)
        assert logits.dtype == np.float32
        np.testing.assert_array_equal(logits, logits.astype(DTYPES[dtype]).astype(np.float32))
        # float32's own tanh may fall on the other side of a rounding border
        assert (logits == expected).mean() > 0.998
        np.testing.assert_allclose(logits, expected, rtol=float(torch.finfo(theirs.dtype).eps), atol=1e-7)
