"""Compiles programs for an H100 without having one, and counts their kernels.

    pip install "jax==0.10.2" "jax-cuda12-plugin==0.10.2" "jax-cuda12-pjrt==0.10.2"
    python scripts/benchmarks/compile_for_gpu.py PROGRAM.hlo [PROGRAM.hlo ...]

PROGRAM.hlo holds what ``function.experimental_get_compiler_ir(*arguments)(stage="hlo_serialized")`` gave.
XLA's optimised text is written to PROGRAM.hlo.txt. This is JAX's XLA, not the one in TensorFlow, and products
are not tuned, for which it would need the card.
"""

from __future__ import annotations

import os
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_gpu_autotune_level=0 " + os.environ.get("XLA_FLAGS", "")

import jax
from jax._src.interpreters import mlir
from jax._src.lib import xla_client
from jax._src.lib.mlir import ir

jax.config.update("jax_enable_x64", True)  # seeds are int64

CARD = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84942979072
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 8 }
"""
# Instructions that are launches, and loops; computations that are the inside of one.
_LAUNCHES = r" (fusion|custom-call|sort|copy|dot|reduce|conditional|while)\("
_INSIDE = r"%(fused|wrapped|gemm_fusion|triton)"


def device() -> Any:
    """A device that programs can be compiled for, but not run on."""
    plugin = resources.files("jax_plugins.xla_cuda12") / "xla_cuda_plugin.so"
    api = xla_client.load_pjrt_plugin_dynamically("cuda", str(plugin))
    xla_client.initialize_pjrt_plugin("cuda")
    topology = xla_client.make_c_api_device_topology(api, "", target_config=CARD, topology="1x1x1")
    return topology._make_compile_only_devices()[0]


def compiled(program: bytes, on: Any) -> str:
    """The optimised HLO as text."""
    text = xla_client._xla.mlir.xla_computation_to_mlir_module(xla_client.XlaComputation(program))
    # StableHLO has no copy; a conversion to the same type is none.
    text = re.sub(r"mhlo\.copy (%[\w#:]+) : (tensor<[^>]*>)", r"stablehlo.convert \1 : (\2) -> \2", text)
    with mlir.make_ir_context():
        module = ir.Module.parse(text)
    devices = xla_client.DeviceList((on,))
    executable = on.client.compile(module, devices, xla_client.CompileOptions())
    return "\n".join(module.to_string() for module in executable.hlo_modules())


def launches(text: str) -> dict[str, int]:
    """How many kernels each computation starts that is not itself the inside of one."""
    counts: dict[str, int] = {}
    name = ""
    for line in text.splitlines():
        if line.endswith("{") and not line.startswith(" "):
            name = line.split(" (")[0]
        elif re.search(_LAUNCHES, line) and not re.match(_INSIDE, name):
            counts[name] = counts.get(name, 0) + 1
    return counts


def main() -> None:
    on = device()
    for path in map(Path, sys.argv[1:]):
        text = compiled(path.read_bytes(), on)
        path.with_name(path.name + ".txt").write_text(text)
        loops = [line for line in text.splitlines() if " while(" in line]
        known = [re.findall(r'known_trip_count\S*?"n":"(\d+)"', line) for line in loops]
        print(path, launches(text), "turns of loops:", [count[0] if count else "unknown" for count in known])


if __name__ == "__main__":
    main()
