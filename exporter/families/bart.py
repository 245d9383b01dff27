"""BART and the families made like it: what each has of its own, as data."""

from __future__ import annotations

from exporter.families.bart_like import Layout, family
from exporter.spec import Block, PositionKind


def _sizes(
    vocab: int, hidden: int, layers: tuple[int, int], width: int, heads: int, positions: int = 1024
) -> dict[str, int]:
    """Defaults of a config class; ``layers`` are the encoder's and the decoder's."""
    return {
        "vocab_size": vocab,
        "d_model": hidden,
        "max_position_embeddings": positions,
        **{f"{side}_layers": count for side, count in zip(("encoder", "decoder"), layers, strict=True)},
        **{f"{side}_ffn_dim": width for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": heads for side in ("encoder", "decoder")},
    }


_LARGE = _sizes(50265, 1024, (12, 12), 4096, 16)

# Lewis et al. 2020
BART = family(Layout("bart", _LARGE, Block.POST_NORM, PositionKind.LEARNED, offset=2, embedding_norm="after"))

# Ahmad et al. 2021
PLBART = family(
    Layout(
        "plbart",
        {**_sizes(50005, 768, (6, 6), 3072, 12), "scale_embedding": True},
        Block.POST_NORM,
        PositionKind.LEARNED,
        offset=2,
        embedding_norm="after",
    )
)

# Liu et al. 2020; mBART-50 (Tang et al. 2020)
MBART = family(
    Layout(
        "mbart",
        _LARGE,
        Block.SEQUENTIAL,
        PositionKind.LEARNED,
        offset=2,
        embedding_norm="after",
        final_norm=True,
    )
)

# Roller et al. 2021
BLENDERBOT = family(
    Layout(
        "blenderbot",
        _sizes(8008, 2560, (2, 24), 10240, 32, positions=128),
        Block.SEQUENTIAL,
        PositionKind.LEARNED,
        final_norm=True,
    )
)
BLENDERBOT_SMALL = family(
    Layout(
        "blenderbot-small",
        _sizes(50265, 512, (8, 8), 2048, 16, positions=512),
        Block.POST_NORM,
        PositionKind.LEARNED,
        embedding_norm="first",
    )
)

# Zhang et al. 2020
PEGASUS = family(Layout("pegasus", _LARGE, Block.SEQUENTIAL, PositionKind.VASWANI, final_norm=True))

# Junczys-Dowmunt et al. 2018; OPUS-MT (Tiedemann and Thottingal 2020)
MARIAN = family(
    Layout(
        "marian",
        {**_LARGE, "vocab_size": 58101},
        Block.POST_NORM,
        PositionKind.VASWANI,
        two_vocabularies=True,
    )
)

# Fan et al. 2021; NLLB-200 (NLLB Team 2022)
M2M_100 = family(
    Layout(
        "m2m_100",
        {**_LARGE, "vocab_size": 128112, "activation_function": "relu", "scale_embedding": True},
        Block.SEQUENTIAL,
        PositionKind.SINUSOIDAL,
        final_norm=True,
        logits_bias=False,
    )
)
