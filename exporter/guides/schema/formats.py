"""String formats as regular expressions; all of their texts are valid, not all valid texts are theirs.

Sources: RFC 3339 (dates, times, durations), RFC 4122, RFC 5321, RFC 1034, RFC 4291, RFC 3986.
"""

from __future__ import annotations

_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_BY_FOUR = r"(?:0[48]|[2468][048]|[13579][26])"
# Years that 400 divides, or 4 and not 100.
_LEAP = rf"(?:{_BY_FOUR}00|[0-9]{{2}}{_BY_FOUR})"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
# Six digits of a second are what most libraries keep; leap seconds are left out.
_TIME = rf"{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_CLOCK})"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,22}[a-zA-Z0-9])?"
# Up to four labels of up to 24 characters; the last begins with a letter, as in every name there is.
_TOP = r"[a-zA-Z](?:[a-zA-Z0-9-]{0,22}[a-zA-Z0-9])?"
_HOSTNAME = rf"(?:{_LABEL}\.){{0,3}}{_TOP}"
_ATOM = r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_GROUP = r"[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    [
        rf"(?:{_GROUP}:){{7}}{_GROUP}",
        rf"(?:{_GROUP}:){{1,7}}:",
        *(rf"(?:{_GROUP}:){{1,{7 - n}}}(?::{_GROUP}){{1,{n}}}" for n in range(1, 7)),
        rf":(?:(?::{_GROUP}){{1,7}}|:)",
    ]
)
_ENCODED = r"%[0-9a-fA-F]{2}"
_PATH_CHARACTER = rf"(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|{_ENCODED})"
_COUNT = r"[0-9]{1,4}"
_DURATION_DAYS = rf"{_COUNT}M(?:{_COUNT}D)?"
_DURATION_DATE = rf"(?:{_COUNT}Y(?:{_DURATION_DAYS})?|{_DURATION_DAYS}|{_COUNT}D)"
_DURATION_SECONDS = rf"{_COUNT}M(?:{_COUNT}S)?"
_DURATION_TIME = rf"T(?:{_COUNT}H(?:{_DURATION_SECONDS})?|{_DURATION_SECONDS}|{_COUNT}S)"

FORMATS = {
    "date": _DATE,
    "date-time": rf"{_DATE}T{_TIME}",
    "time": _TIME,
    "duration": rf"P(?:{_COUNT}W|{_DURATION_DATE}(?:{_DURATION_TIME})?|{_DURATION_TIME})",
    "uuid": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "email": rf"{_ATOM}(?:\.?{_ATOM}){{0,31}}@(?:{_LABEL}\.){{1,3}}{_TOP}",
    "hostname": _HOSTNAME,
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "ipv6": _IPV6,
    "uri": rf"[a-zA-Z][a-zA-Z0-9+.-]*://(?:{_HOSTNAME}|{_BYTE}(?:\.{_BYTE}){{3}})(?::[0-9]{{1,4}})?"
    rf"(?:/{_PATH_CHARACTER}*)*(?:\?(?:{_PATH_CHARACTER}|[/?])*)?(?:#(?:{_PATH_CHARACTER}|[/?])*)?",
}
