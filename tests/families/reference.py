"""The oracle: a tiny random PyTorch model, saved in the reference's own format, and what it computes."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from tests.families.cases import Case, FamilyCases

# Llama 4's class that reads images asks the answer of its text model for a field that it lacks (5.24).
transformers.modeling_outputs.MoeCausalLMOutputWithPast.image_outputs = None


class _Tower(transformers.PreTrainedModel):
    """In place of a tower that another library (timm) would build: text never passes it."""

    config_class = transformers.Gemma3nVisionConfig

    def __init__(self, config: transformers.Gemma3nVisionConfig) -> None:
        super().__init__(config)
        self.stem = torch.nn.Linear(2, 2)
        self.post_init()


transformers.AutoModel.register(transformers.Gemma3nVisionConfig, _Tower, exist_ok=True)

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


def build(family: FamilyCases, case: Case, seed: int = 0) -> Any:
    """The reference's model for a case, with weights large enough that every part shows."""
    torch.manual_seed(seed)
    config = getattr(transformers, family.config_class)(**{**family.base, **case.config})
    config._attn_implementation = case.attention
    model = getattr(transformers, family.model_class)(config).eval()
    with torch.no_grad():
        for name, parameter in _learned(model):
            spread = torch.randn_like(parameter)
            if parameter.ndim > 1:
                parameter.copy_(spread * (0.5 if "emb" in name or "wte" in name else 0.2))
            else:
                # Norm scales and biases: initialised to constants, which would hide a missing one.
                parameter.add_(0.2 * spread)
    return model


def _learned(model: Any) -> list[tuple[str, Any]]:
    """Parameters, and what is learned but no parameter: a router's corrections, factors behind layers."""
    buffers = [
        pair for pair in model.named_buffers() if pair[0].endswith(("correction_bias", "layer_scalar"))
    ]
    return [*model.named_parameters(), *buffers]


def save(model: Any, path: Path, **kwargs: Any) -> Path:
    """``save_pretrained``; returns the directory."""
    if (inner := getattr(model, "rwkv", None)) is not None:
        inner.train()._rescale_layers()  # it divides its own weights before it computes
        inner.eval()
    model.save_pretrained(path, **kwargs)
    return path


def edit_config(path: Path, changes: dict[str, Any], removed: tuple[str, ...] = ()) -> None:
    """Changes keys of a saved config.json."""
    file = path / "config.json"
    config = json.loads(file.read_text())
    config = {key: value for key, value in {**config, **changes}.items() if key not in removed}
    file.write_text(json.dumps(config))


def logits(model: Any, tokens: Ints) -> Floats:
    """float32 [length, vocab] of one unpadded sequence, read at once."""
    with torch.no_grad():
        return model(torch.tensor(tokens[None], dtype=torch.long), use_cache=False).logits[0].float().numpy()


def keeps_a_cache(model: Any) -> bool:
    """Whether it keeps keys and values; the first GPT reads its whole text at every step.

    So do states of a width of their own, which are made too narrow or too wide (5.24).
    """
    sizes = vars(model.config)
    width = sizes.get("lru_width") or sizes.get("attention_hidden_size")
    fits = width is None or width == sizes["hidden_size"]
    return fits and "use_cache" in inspect.signature(model.forward).parameters


def cached_logits(model: Any, tokens: Ints, start: int) -> Floats:
    """float32 [length - start + 1, vocab]: the prompt's last logits, then one step at a time with a cache."""
    if not keeps_a_cache(model):
        return logits(model, tokens)[start - 1 :]
    ids = torch.tensor(tokens[None], dtype=torch.long)
    with torch.no_grad():
        logits_of, past = _step(model, ids[:, :start], None, 0)
        steps = [logits_of[0, -1]]
        for index in range(start, len(tokens)):
            logits_of, past = _step(model, ids[:, index : index + 1], past, index)
            steps.append(logits_of[0, -1])
    return torch.stack(steps).float().numpy()


def greedy(model: Any, tokens: Ints, count: int) -> list[int]:
    """The ids that greedy decoding adds, one step at a time with a cache."""
    if not keeps_a_cache(model):
        return _greedy_without_cache(model, tokens, count)
    ids, chosen = torch.tensor(tokens[None], dtype=torch.long), []
    past = None
    with torch.no_grad():
        for _ in range(count):
            logits_of, past = _step(model, ids, past, len(tokens) + len(chosen) - 1 if chosen else 0)
            ids = logits_of[:, -1:].argmax(-1)
            chosen.append(int(ids))
    return chosen


def _greedy_without_cache(model: Any, tokens: Ints, count: int) -> list[int]:
    ids = [*tokens.tolist()]
    for _ in range(count):
        ids.append(int(logits(model, np.array(ids, np.int32))[-1].argmax()))
    return ids[len(tokens) :]


def beams_cache(model: Any) -> dict[str, bool]:
    """Options of ``generate``: states in modules, and RWKV's, stay where they are as beams move (5.24)."""
    return {"use_cache": False} if model.config.model_type in {"recurrent_gemma", "rwkv"} else {}


#: Their models count positions from 0 at every call; ``generate`` gives them.
_NEED_POSITIONS = {"bamba"}
#: Their models make no cache by themselves; ``generate`` gives one.
_NEED_A_CACHE = {"granite4_vision"}


def _step(model: Any, ids: torch.Tensor, past: Any, position: int) -> tuple[torch.Tensor, Any]:
    """One call with a cache, or without one yet; ``position``: of the first of ``ids``. Logits and cache."""
    kind, more = model.config.model_type, {}
    if past is None and kind in _NEED_A_CACHE:
        past = transformers.DynamicCache(config=model.config)
    if kind in _NEED_POSITIONS:
        more["position_ids"] = torch.arange(position, position + ids.shape[1])[None]
    if kind == "rwkv":
        output = model(ids, state=past, use_cache=True)
        return output.logits, output.state
    if kind == "recurrent_gemma" and past is None:
        # Its cache is not returned, and its states are in its modules, where the last text's are.
        past = transformers.DynamicCache(config=model.config)
        model._setup_cache(model.config, len(ids), ids.device, model.dtype)
    output = model(ids, cache=past, use_cache=True, **more)
    return output.logits, past if past is not None else output.cache
