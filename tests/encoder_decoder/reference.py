"""The oracle: a tiny random PyTorch model, and what it computes for one unpadded prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tests.families import reference
from tests.families.case import Case, FamilyCases

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


def build(family: FamilyCases, case: Case) -> Any:
    """As ``tests.families.reference.build``; position tables keep their values, every bias shows."""
    model = reference.build(family, case)
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "create_weight"):
                module.weight.copy_(module.create_weight())
        for name, parameter in model.named_parameters():
            if "relative_attention_bias" in name:
                parameter.mul_(5)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.copy_(torch.randn_like(model.final_logits_bias))
    return model


def ids(tokens: Ints) -> torch.Tensor:
    """int64 [1, length]."""
    return torch.tensor(np.asarray(tokens)[None], dtype=torch.long)


def states(model: Any, source: Ints) -> Floats:
    """float32 [length, hidden]: the encoder's."""
    with torch.no_grad():
        return (
            model.get_encoder()(ids(source), attention_mask=torch.ones(1, len(source)))
            .last_hidden_state[0]
            .numpy()
        )


def logits(model: Any, source: Ints, tokens: Ints) -> Floats:
    """float32 [length, vocab] of the decoder's tokens, read at once."""
    inputs = {"input_ids": ids(source), "attention_mask": torch.ones(1, len(source))}
    with torch.no_grad():
        return model(**inputs, decoder_input_ids=ids(tokens), use_cache=False).logits[0].float().numpy()


def cached_logits(model: Any, source: Ints, tokens: Ints, start: int) -> Floats:
    """float32 [length - start + 1, vocab]: the prompt's last logits, then one step at a time with a cache."""
    mask, past, rows = torch.ones(1, len(source)), None, []
    with torch.no_grad():
        encoded = model.get_encoder()(ids(source), attention_mask=mask)
        for fed in [tokens[:start], *tokens[start:, None]]:
            output = model(
                encoder_outputs=encoded,
                attention_mask=mask,
                decoder_input_ids=ids(fed),
                past_key_values=past,
                use_cache=True,
            )
            past = output.past_key_values
            rows.append(output.logits[0, -1])
    return torch.stack(rows).float().numpy()
