"""MXFP4 against the reference's own conversion: every byte under every scale that a weight may have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from exporter.checkpoint.quantised.mxfp4 import with_whole_tensors
from exporter.checkpoint.safetensors_file import read_header


def test_every_byte_and_scale(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # [experts, out, in / 32, 16]: all bytes in every expert; scales from the smallest normal ones up.
    blocks = torch.tensor(
        rng.permuted(np.tile(np.arange(256, dtype=np.uint8), (3, 4)), axis=1).reshape(3, 32, 2, 16)
    )
    scales = torch.tensor(rng.integers(3, 253, (3, 32, 2)).astype(np.uint8))
    other = torch.zeros(2)
    save_file({"w_blocks": blocks, "w_scales": scales, "b": other}, tmp_path / "x.safetensors")
    tensors = with_whole_tensors(read_header(tmp_path / "x.safetensors"))
    assert set(tensors) == {"w", "b"}
    ours = tensors["w"].read()
    for dtype in (torch.bfloat16, torch.float32):
        theirs = convert_moe_packed_tensors(blocks, scales, dtype=dtype).float().numpy()
        assert tensors["w"].shape == theirs.shape == (3, 64, 32)
        np.testing.assert_array_equal(ours.astype(np.float32), theirs)
