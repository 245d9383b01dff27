"""Graphics cards by their published figures, and how sizes are written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from exporter.errors import OptionError, did_you_mean


@dataclass(frozen=True)
class Source:
    """Where figures were read.

    Attributes:
      address: of the page or file.
      read: what stands there.
    """

    address: str
    read: str


@dataclass(frozen=True)
class Card:
    """A card as its maker describes it.

    Attributes:
      memory_gb: in 10^9 bytes; drivers show a little more or less, error correction takes its part.
      bandwidth: of its memory, GB/s.
      tflops16, tflops32: dense products of 16-bit numbers, and of float32 (TF32 where the card has it). None
        where no published figure was read: speed is then that of the bandwidth alone.
      memory_source, bandwidth_source, tflops_source: letters of ``SOURCES``.
    """

    name: str
    memory_gb: float
    bandwidth: float
    tflops16: float | None
    tflops32: float | None
    memory_source: str = "a"
    bandwidth_source: str = "a"
    tflops_source: str | None = "a"

    @property
    def memory_bytes(self) -> int:
        return int(self.memory_gb * 1e9)


#: By letter, as in docs/capacity.md.
SOURCES = {
    "a": Source(
        "https://github.com/NVIDIA/TensorRT-LLM/blob/16d2467ea8e3b45d7d9555010c2ad018d006d5c1/"
        "tensorrt_llm/auto_parallel/cluster_info.py",
        "NVIDIA's own table of its data sheets, with their addresses; dense but for the H200's products, "
        "which are with sparsity and not taken from there",
    ),
    "b": Source(
        "https://glennklockwood.com/garden/processors/h100",
        "dense products of the H100 SXM5 after NVIDIA's data sheet; the H200's GPU is the same",
    ),
    "c": Source(
        "https://docs.nvidia.com/dgx/dgxb200-user-guide/introduction-to-dgxb200.html",
        "NVIDIA's guide of the DGX B200: eight GPUs with 1,440 GB",
    ),
    "d": Source(
        "https://glennklockwood.com/garden/processors/B200",
        "bandwidth and, for HGX at 1,000 W, dense products after NVIDIA's architecture brief",
    ),
    "e": Source(
        "https://manualmachine.com/pny/tcst4mpb/8129101-user-manual",
        "NVIDIA's product brief of the board, as PNY hands it out",
    ),
    "f": Source(
        "https://waredb.com/processor/nvidia-geforce-rtx-4090",
        "a data base of processors: 165.15 dense with 32-bit sums, 330.3 with sparsity",
    ),
    "g": Source(
        "https://www.grafikkarten.com/de/news/nvidia-rtx-6000-grafikkarte-der-ada-generation",
        "a report on NVIDIA's published data; no products of 16-bit numbers",
    ),
    "h": Source(
        "https://geektopia.es/es/technology/2018/09/13/noticias/"
        "nvidia-presenta-la-nueva-tesla-t4-basada-en-turing-orientada-a-inteligencia-artificial.html",
        "a report on NVIDIA's announcement; the chip has no sparsity",
    ),
}
#: By name; looked up without regard to case, blanks and hyphens.
CARDS = {
    card.name: card
    for card in (
        Card("T4", 16, 320, 65, 8.1, "e", "e", "h"),
        Card("L4", 24, 300, 120, 60),
        Card("A10", 24, 600, 125, 62.5),
        Card("A10G", 24, 600, 70, 35),
        Card("A30", 24, 933, 165, 82),
        Card("A40", 48, 696, 150, 75),
        Card("A100-40", 40, 1555, 312, 156),
        Card("A100-80", 80, 2039, 312, 156),
        Card("A100-80-PCIe", 80, 1935, 312, 156),
        Card("L40", 48, 864, 181, 90),
        Card("L40S", 48, 864, 362, 183),
        Card("H100-SXM", 80, 3350, 989, 495),
        Card("H100-PCIe", 80, 2000, 756, 378),
        Card("H200", 141, 4800, 989, 495, "a", "a", "b"),
        Card("B200", 180, 8000, 2250, 1100, "c", "d", "d"),
        Card("RTX-4090", 24, 1008, 165, 82.6, "f", "f", "f"),
        Card("RTX-6000-Ada", 48, 960, None, None, "g", "g", None),
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
