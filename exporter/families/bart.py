"""BART and the families made like it: what each has of its own, as data."""

from __future__ import annotations

from exporter.families.bart_like import family
from exporter.spec import Block, PositionKind

_LARGE = {"vocab": 50265, "hidden": 1024, "width": 4096, "heads": 16, "max_length": 1024}

# Lewis et al. 2020
BART = family("bart", _LARGE, Block.POST_NORM, PositionKind.LEARNED, offset=2, embedding_norm="after")

# Ahmad et al. 2021
PLBART = family(
    "plbart",
    {"vocab": 50005, "hidden": 768, "width": 3072, "heads": 12, "max_length": 1024},
    Block.POST_NORM,
    PositionKind.LEARNED,
    layers=(6, 6),
    scaled=True,
    offset=2,
    embedding_norm="after",
)

# Liu et al. 2020; mBART-50 (Tang et al. 2020)
MBART = family(
    "mbart",
    _LARGE,
    Block.SEQUENTIAL,
    PositionKind.LEARNED,
    offset=2,
    embedding_norm="after",
    final_norm=True,
)

# Roller et al. 2021
BLENDERBOT = family(
    "blenderbot",
    {"vocab": 8008, "hidden": 2560, "width": 10240, "heads": 32, "max_length": 128},
    Block.SEQUENTIAL,
    PositionKind.LEARNED,
    layers=(2, 24),
    final_norm=True,
)
BLENDERBOT_SMALL = family(
    "blenderbot-small",
    {"vocab": 50265, "hidden": 512, "width": 2048, "heads": 16, "max_length": 512},
    Block.POST_NORM,
    PositionKind.LEARNED,
    layers=(8, 8),
    embedding_norm="first",
)

# Zhang et al. 2020
PEGASUS = family("pegasus", _LARGE, Block.SEQUENTIAL, PositionKind.VASWANI, final_norm=True)

# Junczys-Dowmunt et al. 2018; OPUS-MT (Tiedemann and Thottingal 2020)
MARIAN = family(
    "marian", {**_LARGE, "vocab": 58101}, Block.POST_NORM, PositionKind.VASWANI, two_vocabularies=True
)

# Fan et al. 2021; NLLB-200 (NLLB Team 2022)
M2M_100 = family(
    "m2m_100",
    {**_LARGE, "vocab": 128112},
    Block.SEQUENTIAL,
    PositionKind.SINUSOIDAL,
    activation="relu",
    scaled=True,
    final_norm=True,
    logits_bias=False,
)
