"""Graphics cards by their published figures, and how sizes are written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from exporter.errors import OptionError, did_you_mean


@dataclass(frozen=True)
class Card:
    """A card as its maker describes it.

    Attributes:
      memory_gb: in 10^9 bytes; drivers show a little more or less, error correction takes its part.
      bandwidth: of its memory, GB/s.
      tflops16, tflops32: dense products of 16-bit numbers, and of float32 (TF32 where the card has it). None
        where no published figure was read: speed is then that of the bandwidth alone.
      source: where the memory and its bandwidth are read.
    """

    name: str
    memory_gb: float
    bandwidth: float
    tflops16: float | None
    tflops32: float | None
    source: str

    @property
    def memory_bytes(self) -> int:
        return int(self.memory_gb * 1e9)


_A10 = "https://www.baseten.co/blog/nvidia-a10-vs-a10g-for-ml-model-inference/"
_A100 = "https://www.thundercompute.com/blog/nvidia-a100-specs-full-guide"
_SXM = "https://acecloud.ai/blog/nvidia-b200-vs-h200-h100-a100"
#: By name; looked up without regard to case, blanks and hyphens.
CARDS = {
    card.name: card
    for card in (
        Card("T4", 16, 320, 65, 8.1, "https://manualmachine.com/pny/tcst4mpb/8129101-user-manual"),
        Card("L4", 24, 300, 121, None, "https://grokipedia.com/page/NVIDIA_L4_vs_L40S"),
        Card("A10", 24, 600, 125, None, _A10),
        Card("A10G", 24, 600, None, None, _A10),
        Card("A100-40", 40, 1555, 312, 156, _A100),
        Card("A100-80", 80, 2039, 312, 156, _A100),
        Card("L40S", 48, 864, 362, 183, "https://www.mullet.se/product.html?product_id=355414"),
        Card("H100-SXM", 80, 3350, 989, 494, _SXM),
        Card("H100-PCIe", 80, 2000, None, None, "https://gpu.blog/gpus/nvidia-h100-pcie"),
        Card("H200", 141, 4800, 989, 494, _SXM),
        Card("B200", 180, 7672, 2250, 1125, "https://github.com/pytorch/ao/pull/4002"),
        Card("RTX-4090", 24, 1008, 165, 82.6, "https://waredb.com/processor/nvidia-geforce-rtx-4090"),
    )
}
_UNITS = {"GIB": 1 << 30, "MIB": 1 << 20, "GB": 10**9, "MB": 10**6}


def card_of(name: str) -> Card:
    """A card by its name; raises OptionError naming those that are known."""
    known = {_plain(card): card for card in CARDS}
    if _plain(name) not in known:
        raise OptionError(
            f"--card: {name!r} is none{did_you_mean(name, CARDS)}; allowed: {', '.join(CARDS)}; "
            "or --gpu-memory and --bandwidth of another one"
        )
    return CARDS[known[_plain(name)]]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower().removeprefix("nvidia")


def size_of(option: str, text: str) -> int:
    """``"24GiB"`` -> bytes; raises OptionError."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([GM]i?B)\s*", text, re.IGNORECASE)
    size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if size <= 0:
        raise OptionError(f"{option}: {text!r} must be a number with GiB, GB, MiB or MB, such as 24GiB")
    return size
