"""Strings on which tokenizers go wrong, generated: for verification and tests.

All planes, white-space runs, contractions in every case, emoji sequences, digits of many scripts, combining
marks, Hangul, controls and NUL, and the tokenizer's own added tokens, alone and mixed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_PLAIN = "The quick brown fox, don't you think?  It's 3.14% (or 1,000) -- \"great\"! def f(x):\n\treturn x**2"
_WORD_LIST = """
    the and over world tokenizers don't we'll they've I'M HE'D It'S can't could've o'clock 'tis rock'n'roll
    naïve Straße ΣΊΣΥΦΟΣ İstanbul ırmak ﬁne ǆ Ⅷ ½ x² école e\u0301cole Zürich Ångström ångström Привет мир
    こんにちは 世界 안녕하세요 各国语言 שלום سلام नमस्ते สวัสดี ប្រាសាទ தமிழ் ქართული 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈
    http://x.y/z?a=b&c foo_bar FooBar fooBAR123 0x1F 12345678 1234.5678e-9 <tag> </s> <s> <unk>
    <|endoftext|> [CLS] ##ing ▁the Ġthe"""
_WORDS = _WORD_LIST.split()
_WHITE = (
    " \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2000\u2003\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\ufeff\u180e"
)
_MARKS = (
    "\u0300\u0301\u0308\u0323\u0327\u0345\u093c\u094d\u0e38\u302a\u3099"
    "\u0f71\u0f72\u05b0\u0651\u064b\u20dd\u200d"
)
_DIGITS = "0123456789٠٣٩۴०५९๓໕༣၈០៩᠒߇୧௩೫൦۱²³¹½Ⅷ㉑①⑳一五〇𝟘𝟗𑁦𐒡"
_EMOJI = [
    "😀",
    "👩‍👩‍👧‍👦",
    "👍🏽",
    "🇫🇷",
    "🇩🇪🇯🇵",
    "❤️",
    "🏳️‍🌈",
    "1️⃣",
    "☺",
    "©\u200d©",
    "🧑🏿‍🚀",
    "\U000e0067",
    "⛹🏻‍♀️",
]
_JAMO = "ᄀᄁᆨ가각힣ᅡᅢᆩ한글ꥠퟰ"
_CONTRACTIONS = ["'s", "'S", "'t", "'RE", "'ve", "'M", "'ll", "'Ll", "'d", "'ſ", "’s", "'K", "s'", "''"]
# Ranges of code points in hexadecimal: scripts are drawn alike, however large they are.
_BLOCK_LIST = """
    0-7F 80-24F 250-36F 370-52F 590-8FF 900-DFF E00-109F 10A0-13FF 1400-1FFF 2000-2BFF 2C00-2FFF 3000-33FF
    3400-9FFF A000-ABFF AC00-D7FF E000-FFFF 10000-10FFF 11000-16FFF 1B000-1DFFF 1E000-1FBFF 20000-3FFFF
    E0000-10FFFF"""
_BLOCKS = [[int(bound, 16) for bound in block.split("-")] for block in _BLOCK_LIST.split()]


def sample_strings(count: int, seed: int = 0, tokens: Sequence[str] = ()) -> list[str]:
    """``count`` strings, the same for the same arguments; ``tokens`` are strewn among them."""
    random_ = random.Random(seed)
    parts = _parts(random_, tokens)
    return ["".join(random_.choice(parts)() for _ in range(random_.randint(1, 14))) for _ in range(count)]


def _parts(random_: random.Random, tokens: Sequence[str]) -> list[Callable[[], str]]:
    """Generators of a small part of a string each; one that stands twice is drawn twice as often."""

    def some(alphabet: Sequence[str], most: int) -> str:
        return "".join(random_.choices(alphabet, k=random_.randint(1, most)))

    def block() -> str:
        low, high = random_.choice(_BLOCKS)
        points = [random_.randint(low, high) for _ in range(random_.randint(1, 5))]
        return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)

    def slice_() -> str:
        start = random_.randrange(len(_PLAIN))
        return _PLAIN[start : start + random_.randint(1, 20)]

    parts: list[Callable[[], str]] = [
        lambda: random_.choice(_WORDS) + random_.choice(["", " ", "  ", ".", ", "]),
        lambda: " " + random_.choice(_WORDS),
        slice_,
        block,
        block,
        lambda: some(_WHITE, 5),
        lambda: some(" \n\t\r", 6),
        lambda: " " * random_.randint(1, 30),
        lambda: some(_DIGITS, 8),
        lambda: some(_MARKS, 4),
        lambda: random_.choice("aeiounszAEO안") + some(_MARKS, 3),
        lambda: random_.choice(_EMOJI),
        lambda: random_.choice(_WORDS[:8]) + random_.choice(_CONTRACTIONS),
        lambda: some(_JAMO, 4),
        lambda: some("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", 5),
        lambda: random_.choice(
            ["\x00", "\x00a\x00", "\x01", "\x7f", "\x9f", "\ufffd", "\uffff", "\r\n", "\r\r\n"]
        ),
        lambda: random_.choice("aZ1 \u4e2d") * random_.randint(2, 12),
    ]
    if tokens:
        parts += [
            lambda: random_.choice(tokens),
            lambda: random_.choice([" ", "a", "\n "]) + random_.choice(tokens),
        ]
    return parts
