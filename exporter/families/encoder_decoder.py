"""The encoder-decoder families, and those of their kind that are out of reach."""

from __future__ import annotations

from exporter.families import bart, t5, t5gemma
from exporter.families.family import Family

FAMILIES: dict[str, Family] = {
    "bart": bart.BART,
    "blenderbot": bart.BLENDERBOT,
    "blenderbot-small": bart.BLENDERBOT_SMALL,
    "m2m_100": bart.M2M_100,
    "marian": bart.MARIAN,
    "mbart": bart.MBART,
    "mt5": t5.MT5,
    "pegasus": bart.PEGASUS,
    "plbart": bart.PLBART,
    "t5": t5.T5,
    "t5gemma": t5gemma.T5GEMMA,
    "umt5": t5.UMT5,
}

REFUSED: dict[str, str] = {
    **dict.fromkeys(
        """
        audioflamingo3 glmasr granite_speech_plus musicflamingo nemo_speechlm omniasr vibevoice_asr
        voxtral_realtime
        """.split(),  # noqa: SIM905
        "it reads speech, and only text models are exported",
    ),
    "bigbird_pegasus": "its encoder's attention is sparse in random blocks",
    "encoder-decoder": "it joins two models of any families; only families with one class are supported",
    "fsmt": "its target vocabulary and tied tables follow rules of their own; see marian or m2m_100",
    "led": "its encoder's attention is windowed with global tokens",
    "longt5": "its encoder's attention is local, or local with a global summary",
    "mvp": "it adds learned prompts to every layer",
    "nllb-moe": "its experts have a capacity, so that a row's result depends on its neighbours",
    "pegasus_x": "its encoder's attention is staggered in blocks with global tokens",
    "prophetnet": "its decoder predicts several tokens at once, with n-gram attention",
    "seamless_m4t": "it reads or writes speech",
    "seamless_m4t_v2": "it reads or writes speech",
    "speech_to_text": "its encoder reads speech",
    "switch_transformers": "its experts have a capacity, so that a token's result depends on how much of its "
    "text is read at once",
    "t5gemma2": "its encoder reads images too",
    "vision-encoder-decoder": "its encoder reads images",
    "whisper": "its encoder reads speech",
}
