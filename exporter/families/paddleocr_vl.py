"""PaddleOCR-VL (Baidu 2025): its text model, which is ERNIE 4.5 with heads that turn by halves."""

from __future__ import annotations

from dataclasses import replace

from exporter.families import ernie4_5
from exporter.families.family import Family
from exporter.families.llama import LLAMA_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.wrapped import Ties, Wrapped
from exporter.spec import LayerSpec, ModelSpec, RopeLayout, RotaryRounding


def read(config: ConfigReader) -> ModelSpec:
    """Positions of text are the same on all three axes: they turn as plain rotary positions do."""
    config.expect("layer_types", None, why="the reference masks all layers as those of full attention")
    spec = ernie4_5.read(config)
    layers = tuple(map(_by_halves, spec.decoder.layers))
    return replace(spec, decoder=replace(spec.decoder, layers=layers))


def _by_halves(layer: LayerSpec) -> LayerSpec:
    assert layer.attention is not None
    assert layer.attention.rotary is not None
    rotary = replace(layer.attention.rotary, layout=RopeLayout.HALVES, rounding=RotaryRounding.EACH)
    return replace(layer, attention=replace(layer.attention, rotary=rotary))


PADDLEOCR_VL = Wrapped(
    "paddleocr_vl",
    {"paddleocr_vl_text": Family(read, LLAMA_NAMES)},
    own=True,
    keys=("image_token_id", "vision_config"),
    flat=True,
    ties=Ties.EITHER,
    text_tied=True,
    renames=(
        (r"^mlp_AR", "model.projector"),
        (r"^visual", "model.visual"),
        (r"^model(?!(\.visual|\.projector|\.language_model))", "model.language_model"),
    ),
).family()
