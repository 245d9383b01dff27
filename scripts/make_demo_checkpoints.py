#!/usr/bin/env python3
"""Makes the demo checkpoints that the package ships (needs the ``test`` extra: PyTorch trains them).

    python scripts/make_demo_checkpoints.py stories [--out DIRECTORY] [--threads 2]

Takes minutes on two cores; without ``--out`` it replaces what is in ``exporter/demo``.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import torch

DEMO = Path(__file__).resolve().parent.parent / "exporter" / "demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=["stories", "translate"])
    parser.add_argument("--out", type=Path, help="directory to write (default: exporter/demo/NAME)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument("--steps", type=int, help="training steps (default: the recipe's own)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    make = importlib.import_module(f"demo_checkpoints.{arguments.name}").make
    options = {"steps": arguments.steps} if arguments.steps else {}
    make(arguments.out or DEMO / arguments.name, **options)


if __name__ == "__main__":
    main()
