"""Numbers from 0 to 9,999 in words: English, German and French.

French hyphenates below one hundred only (``deux cent trente-deux``, ``vingt et un``), German is
written in one word, English with hyphens in the tens and without "and".
"""

from __future__ import annotations

LIMIT = 10_000


def _words(text: str) -> list[str]:
    return text.split()


_ENGLISH_SMALL = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_ENGLISH_TENS = _words("- - twenty thirty forty fifty sixty seventy eighty ninety")

_GERMAN_SMALL = _words(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
    "sechzehn siebzehn achtzehn neunzehn"
)
_GERMAN_TENS = _words("- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")

_FRENCH_SMALL = _words(
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize "
    "dix-sept dix-huit dix-neuf"
)
_FRENCH_TENS = _words("- - vingt trente quarante cinquante soixante soixante quatre-vingt quatre-vingt")


def english(number: int) -> str:
    """4,321 -> "four thousand three hundred twenty-one"."""
    _check(number)
    thousands, hundreds, rest = _split(number)
    parts = [f"{_ENGLISH_SMALL[thousands]} thousand"] if thousands else []
    parts += [f"{_ENGLISH_SMALL[hundreds]} hundred"] if hundreds else []
    if rest or not parts:
        tens, ones = divmod(rest, 10)
        if rest < 20:
            parts.append(_ENGLISH_SMALL[rest])
        else:
            parts.append(_ENGLISH_TENS[tens] + (f"-{_ENGLISH_SMALL[ones]}" if ones else ""))
    return " ".join(parts)


def german(number: int) -> str:
    """4,321 -> "viertausenddreihunderteinundzwanzig"; 1 stands as "eins" only at the end."""
    _check(number)
    thousands, hundreds, rest = _split(number)
    word = f"{_german_factor(thousands)}tausend" if thousands else ""
    word += f"{_german_factor(hundreds)}hundert" if hundreds else ""
    if rest or not word:
        tens, ones = divmod(rest, 10)
        if rest < 20:
            word += _GERMAN_SMALL[rest]
        else:
            word += (f"{_german_factor(ones)}und" if ones else "") + _GERMAN_TENS[tens]
    return word


def french(number: int) -> str:
    """4,321 -> "quatre mille trois cent vingt et un"; "cents" and "quatre-vingts" keep their s at the end."""
    _check(number)
    thousands, hundreds, rest = _split(number)
    parts = [_FRENCH_SMALL[thousands]] if thousands > 1 else []
    parts += ["mille"] if thousands else []
    parts += [_FRENCH_SMALL[hundreds]] if hundreds > 1 else []
    if hundreds:
        parts.append("cents" if hundreds > 1 and not rest else "cent")
    if rest or not parts:
        parts.append(_french_below_hundred(rest))
    return " ".join(parts)


def _check(number: int) -> None:
    if not 0 <= number < LIMIT:
        raise ValueError(f"number: {number} is not in 0 ... {LIMIT - 1}")


def _split(number: int) -> tuple[int, int, int]:
    """(thousands, hundreds, rest below 100)."""
    thousands, below = divmod(number, 1000)
    return thousands, *divmod(below, 100)


def _german_factor(digit: int) -> str:
    return "ein" if digit == 1 else _GERMAN_SMALL[digit]


def _french_below_hundred(rest: int) -> str:
    if rest < 20:
        return _FRENCH_SMALL[rest]
    tens, ones = divmod(rest, 10)
    if tens in (7, 9):  # soixante-dix, quatre-vingt-dix: counted on from the ten before
        ones += 10
    if not ones:
        return "quatre-vingts" if tens == 8 else _FRENCH_TENS[tens]
    if ones in (1, 11) and tens < 8:
        return f"{_FRENCH_TENS[tens]} et {_FRENCH_SMALL[ones]}"
    return f"{_FRENCH_TENS[tens]}-{_FRENCH_SMALL[ones]}"
