"""Fuyu 8B (Adept 2023): Persimmon, with patches of images among its tokens."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.persimmon import PERSIMMON
from exporter.families.reader import ConfigReader
from exporter.families.wrapped import Wrapped
from exporter.spec import ModelSpec

_WRAPPED = Wrapped(
    "fuyu",
    {"persimmon": PERSIMMON},
    keys=("image_token_id", "num_channels", "patch_size"),
    flat=True,
    tied=False,
)


def read(config: ConfigReader) -> ModelSpec:
    """As published its text's keys stand in the outer config; of those the reference hands on some."""
    if not config.has("text_config"):
        config.expect("partial_rotary_factor", 0.5, why="without a text_config half of each head turns")
        config.expect("rope_parameters", None, why="without a text_config the reference passes them over")
    return _WRAPPED.read(config)


FUYU = replace(_WRAPPED.family(), read=read)
