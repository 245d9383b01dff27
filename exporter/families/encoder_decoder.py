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
        canary cohere_asr moonshine moonshine_streaming speech-encoder-decoder speech_to_text whisper
        """.split(),  # noqa: SIM905
        "its encoder reads speech",
    ),
    "bigbird_pegasus": "its encoder's attention is sparse in random blocks (attention_type block_sparse) "
    "beyond 704 tokens of the published sizes; with original_full it is a plain one, and what keeps it out "
    "is its tokenizer: no converter of its spiece.model is proven to give its ids",
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
    "switch_transformers": "its experts have a capacity, so that a token's result depends on how much of its "
    "text is read at once",
    "t5gemma2": "its encoder reads images too",
    "vision-encoder-decoder": "its encoder reads images",
}
