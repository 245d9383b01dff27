"""Runs the kit that it lies in, on this machine's GPU: checks the demo's answers, then times every case.

    python run.py [--seconds 480] [--output results.json]
    python run.py --rehearse          the same on the CPU, two layers of 64 features: shows that it runs

Needs jax with its CUDA plugin, numpy and, for the comparison, torch and transformers. Programs are compiled
by JAX's XLA from TensorFlow's HLO, weights are drawn on the device. Cases run in order of value, each
framework in a process of its own; results.json is written anew after each, and what there was no time for is
named.
"""

import argparse
import contextlib
import gzip
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
CALLS = 5
#: A process is not worth starting with fewer seconds left.
LEAST_SECONDS = 20
#: The most of all the time that PyTorch may take at a time: compiling may take minutes.
TORCH_SHARE = 0.3
_MARK = "RESULT "


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=480, help="ends by itself after so many")
    parser.add_argument("--output", type=Path, default=Path("results.json"))
    parser.add_argument("--rehearse", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--cases", default="", help="only cases whose names hold this")
    parser.add_argument("--worker", choices=["jax", "torch"], help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = HERE / "tiny" if options.rehearse else HERE
    index = json.loads((folder / "index.json").read_text())
    cases = {case["name"]: case for case in index["cases"]}
    if options.worker:
        work = {"jax": work_jax, "torch": work_torch}[options.worker]
        work(folder, [cases[name] for name in options.jobs], options)
        return 0
    return Run(options, index, cases).run()


# ---------------------------------------------------------------------------------------------- the parent


class Run:
    """Starts a worker for each framework and stretch of cases; keeps results.json."""

    def __init__(self, options, index, cases):
        self.options, self.cases = options, cases
        self.wanted = [name for name in cases if options.cases in name or name == "demo"]
        self.ends = time.monotonic() + options.seconds
        self.results = {
            "command": " ".join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "rehearsal": options.rehearse,
            "kit": index["versions"],
            "card": card(),
            "cases": {},
            "torch": {},
            "skipped": [],
            "facts": {name: facts(case) for name, case in cases.items()},
        }

    def run(self):
        """1 when the demo's answers are wrong or a case failed."""
        self.write()
        failed = ""
        for framework, names in self.stretches():
            left = names
            while left and not failed:
                done = self.worker(framework, left)
                left = [name for name in left if name not in done]
                failed = self.results["cases"].get("probe", {}).get("error", "")
                if failed:
                    break
                if left and self.out_of_time():
                    self.results["skipped"] += [f"{framework}: {name}" for name in left]
                    left = []
                elif left:  # the process died over the first one
                    self.keep(framework, left[0], ended(framework))
                    left = left[1:]
            self.write()
        print(table(self.results))
        if failed:
            print(failed)
        errors = [each for each in self.results["cases"].values() if "error" in each]
        wrong = self.results["cases"].get("demo", {}).get("equal") is False
        return 1 if errors or wrong else 0

    def stretches(self):
        """(framework, names): the first model's programs, PyTorch beside them, other programs, the rest."""
        models = [self.cases[name]["model"] for name in self.wanted]
        own = next((model for model in models if model != "demo"), None)
        first = 0
        while first < len(models) and models[first] in ("demo", own):
            first += 1
        peers = {}
        for name in self.wanted:
            case = self.cases[name]
            if case.get("config") and case["weights"] == "plain":
                peers.setdefault(case["model"], name)
        peers = list(peers.values())
        yield "jax", self.wanted[:first]
        yield "torch", peers[:1]
        yield "jax", self.wanted[first:]
        yield "torch", peers[1:]

    def worker(self, framework, names):
        """The names that it answered before it ended, or was ended for want of time."""
        if self.out_of_time():
            return set()
        command = [
            sys.executable,
            str(Path(__file__).resolve()),
            "--worker",
            framework,
            "--jobs",
            json.dumps(names),
        ]
        command += ["--output", str(self.options.output.resolve())]
        most = self.options.seconds * (TORCH_SHARE if framework == "torch" else 1)
        ends = min(self.ends, time.monotonic() + most)
        command += ["--seconds", str(ends - time.monotonic())] + ["--rehearse"] * self.options.rehearse
        environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "2"}
        if self.options.rehearse:
            environment |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        lines = queue.Queue()
        threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True).start()
        done = set()
        try:
            while (line := lines.get(timeout=max(0.1, ends - time.monotonic()))) is not None:
                if line.startswith(_MARK):
                    name, result = json.loads(line.removeprefix(_MARK))
                    self.keep(framework, name, result)
                    done.add(name)
                else:
                    print(line, end="", flush=True)
        except queue.Empty:
            process.kill()
        process.wait()
        return done

    def keep(self, framework, name, result):
        if name == "machine":
            self.results["machine"] = self.results.get("machine", {}) | result
        else:
            self.results["cases" if framework == "jax" else "torch"][name] = result
        about = self.results["facts"].get(name)
        print(lines_of(framework, name, result, about, self.bandwidth())[-1], flush=True)
        self.write()

    def bandwidth(self):
        return None if self.options.rehearse else self.results.get("machine", {}).get("bandwidth")

    def out_of_time(self):
        return self.ends - time.monotonic() < LEAST_SECONDS

    def write(self):
        part = self.options.output.with_suffix(".part")
        part.write_text(json.dumps(self.results, indent=1))
        part.replace(self.options.output)


def _forward(stream, lines):
    for line in stream:
        lines.put(line)
    lines.put(None)


def ended(framework):
    """The result of what a process was at when it died."""
    error = {"error": "the process ended, or had no time left; see its output"}
    return error if framework == "jax" else {"modes": {"": error}}


def facts(case):
    """What a report needs of a case, without its parameters."""
    return {key: value for key, value in case.items() if key not in ("parameters", "outputs", "config")}


def card():
    """Name, memory and driver, as nvidia-smi says; {} without one."""
    query = ["name", "memory.total", "driver_version", "power.limit", "clocks.max.sm"]
    command = ["nvidia-smi", f"--query-gpu={','.join(query)}", "--format=csv,noheader"]
    try:
        line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return {}
    return dict(zip(query, (part.strip() for part in line.split(",")), strict=False))


def table(results):
    """A line for every case and peer, then what was skipped."""
    lines = [f"{'':56} {'first token':>12} {'a step':>10} {'tokens/s':>9} {'of bandwidth':>12} {'peak':>9}"]
    bandwidth = None if results["rehearsal"] else results.get("machine", {}).get("bandwidth")
    for framework, part in (("jax", "cases"), ("torch", "torch")):
        for name, result in results[part].items():
            lines += lines_of(framework, name, result, results["facts"].get(name), bandwidth)
    lines += [f"skipped for want of time: {name}" for name in results["skipped"]]
    return "\n".join(lines)


def lines_of(framework, name, result, about, bandwidth):
    """What the table says of one result; of PyTorch a line for each mode."""
    if framework == "jax":
        return [_line(name, result, about, bandwidth)]
    return [_line(f"torch {mode} {name}", found, None, None) for mode, found in result["modes"].items()]


def _line(name, result, about, bandwidth):
    if "error" in result:
        return f"{name:56} FAILED: {result['error'].splitlines()[-1][:90]}"
    if "step_seconds" not in result:
        return f"{name:56} {result}"
    share = ""
    if bandwidth and about and "step_bytes" in about:
        share = f"{about['step_bytes'] / bandwidth / result['step_seconds']:.2f}"
    peak = f"{result['peak_bytes'] / 2**30:.1f} GiB" if result.get("peak_bytes") else ""
    first, step = result["first_token_seconds"] * 1e3, result["step_seconds"] * 1e3
    speed = result["tokens_per_second"]
    return f"{name:56} {first:9.2f} ms {step:7.3f} ms {speed:9.1f} {share:>12} {peak:>9}"


def emit(name, result):
    print(_MARK + json.dumps([name, result]), flush=True)


def median_of(call):
    """Median seconds of ``CALLS`` calls."""
    seconds = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def figures(call, batch, tokens, *, rehearsing=False):
    """Times ``call(n)``, which generates n tokens a row, for one and for all; after a warm-up of both.

    Of tiny shapes on a busy CPU the difference may be noise: no step is told then.
    """
    for count in (1, tokens):
        call(count)
    first, whole = median_of(lambda: call(1)), median_of(lambda: call(tokens))
    if whole <= first and rehearsing:
        return {"first_token_seconds": first, "whole_seconds": whole}
    if whole <= first:
        raise ValueError(f"{tokens} tokens took {whole} s, one token {first} s: the times are noise")
    step = (whole - first) / (tokens - 1)
    return {
        "first_token_seconds": first,
        "whole_seconds": whole,
        "step_seconds": step,
        "tokens_per_second": batch / step,
    }


# ---------------------------------------------------------------------------------------------- programs


def work_jax(folder, cases, options):
    try:
        xla = Xla()
    except (ImportError, AttributeError) as error:
        emit(
            "probe",
            {"error": f"not the private names of jax that the runner knows (tried: 0.10.2): {error}"},
        )
        return
    except RuntimeError as error:
        emit("probe", {"error": f"jax finds no device: {error}"})
        return
    if not options.rehearse and xla.device.platform != "gpu":
        emit(
            "probe",
            {"error": f"jax runs on {xla.device}, not on a GPU; --rehearse runs tiny shapes on the CPU"},
        )
        return
    if cases[0]["name"] == "demo":
        emit("machine", xla.machine(small=options.rehearse))
    model, weights, ends = None, {}, time.monotonic() + options.seconds
    for case in cases:
        if ends - time.monotonic() < LEAST_SECONDS:
            return
        try:
            if case["model"] != model:
                weights.clear()
                model = case["model"]
            emit(case["name"], xla.run(folder, case, weights, options.output))
        except Exception as error:  # the next case may do
            traceback.print_exc()
            emit(case["name"], {"error": f"{type(error).__name__}: {error}"[:2000]})


class Xla:
    """JAX's XLA, by names of jax that are private and move between releases."""

    def __init__(self):
        import jax
        from jax._src.lib import xla_client

        jax.config.update("jax_enable_x64", True)  # seeds are int64
        self.jax, self.client = jax, xla_client
        self.read, self.options, self.devices = (
            xla_client.XlaComputation,
            xla_client.CompileOptions,
            xla_client.DeviceList,
        )
        self.to_mlir = xla_client._xla.mlir.xla_computation_to_mlir_module
        self.device = jax.devices()[0]
        self.compile = self.device.client.compile_and_load

    def machine(self, *, small):
        """Versions, and what the card can do: bytes read a second, operations of a bfloat16 product."""
        jax = self.jax
        import jax.numpy as jnp
        import jaxlib

        size, side = (1 << 22, 256) if small else (1 << 31, 8192)
        numbers = jnp.ones(size, jnp.bfloat16)
        square = jnp.ones((side, side), jnp.bfloat16)
        read, copy = jax.jit(jnp.max), jax.jit(lambda x: x + jnp.bfloat16(1))
        product = jax.jit(lambda x: x @ x)
        seconds = {}
        for name, call in (("read", read), ("copy", copy), ("product", product)):
            value = square if name == "product" else numbers
            call(value).block_until_ready()
            seconds[name] = median_of(lambda call=call, value=value: call(value).block_until_ready())
        return {
            "device": self.device.device_kind,
            "versions": {
                "jax": jax.__version__,
                "jaxlib": jaxlib.__version__,
                "python": sys.version.split()[0],
            },
            "platform": self.device.client.platform_version,
            "read_bandwidth": 2 * size / seconds["read"],
            "copy_bandwidth": 4 * size / seconds["copy"],
            "bandwidth": max(2 * size / seconds["read"], 4 * size / seconds["copy"]),
            "flops": 2 * side**3 / seconds["product"],
        }

    def run(self, folder, case, weights, output):
        """Compiles and times one case; of the demo only the answers count."""
        import numpy as np

        computation = self.read(gzip.decompress((folder / f"{case['name']}.hlo.gz").read_bytes()))
        self.check_shapes(computation, case)
        started = time.perf_counter()
        program = self.compile(self.to_mlir(computation), self.devices((self.device,)), self.options())
        result = {"compile_seconds": time.perf_counter() - started}
        kept = Path(f"{output.with_suffix('')}-hlo")
        kept.mkdir(exist_ok=True)
        text = program.hlo_modules()[0].to_string()
        (kept / f"{case['name']}.txt.gz").write_bytes(gzip.compress(text.encode()))
        if "arguments" in case:
            held = np.load(folder / case["arguments"])
            parameters = [held[f"p{i}"] for i in range(len(case["parameters"]))]
            parameters = [self.jax.device_put(value, self.device) for value in parameters]
        else:
            held, parameters = None, self.arguments(case, weights)
        limit = next(i for i, each in enumerate(case["parameters"]) if each["name"] == "max_new_tokens")
        counts = {
            n: self.jax.device_put(np.full(case["batch"], n, np.int32), self.device)
            for n in (1, case["new_tokens"])
        }
        names = [each["name"] for each in case["outputs"]]

        def call(count):
            buffers = [*parameters[:limit], counts[count], *parameters[limit + 1 :]]
            shards = program.execute_sharded(buffers).disassemble_into_single_device_arrays()
            return {name: np.asarray(shard[0]) for name, shard in zip(names, shards, strict=True)}

        answer = call(case["new_tokens"])
        if held is not None:
            result["equal"] = all(
                np.array_equal(answer[n].reshape(held[n].shape), held[n]) for n in held if n in names
            )
        elif not (answer["num_tokens"] == case["new_tokens"]).all():
            raise ValueError(f"generated {answer['num_tokens'].tolist()} tokens, not {case['new_tokens']}")
        if held is not None:
            return result | self.memory(program)
        # One alone would say that logits are not numbers.
        result["distinct_tokens"] = len(np.unique(answer["sequences"]))
        result |= figures(call, case["batch"], case["new_tokens"], rehearsing=self.device.platform == "cpu")
        return result | self.memory(program)

    def check_shapes(self, computation, case):
        """The index and the program must agree, or buffers would be taken for others."""
        found = [tuple(shape.dimensions()) for shape in computation.program_shape().parameter_shapes()]
        said = [tuple(each["shape"]) for each in case["parameters"]]
        if found != said:
            raise ValueError(
                f"index.json names {len(said)} parameters that are not the program's {len(found)}"
            )

    def memory(self, program):
        """The most that this process held so far, and the program's own temporaries."""
        found = {"peak_bytes": (self.device.memory_stats() or {}).get("peak_bytes_in_use")}
        with contextlib.suppress(AttributeError, RuntimeError):
            found["temporary_bytes"] = program.get_compiled_memory_stats().temp_size_in_bytes
        return found

    def arguments(self, case, weights):
        """Random prompts that fill the bucket, the case's own row values, and weights from ``weights``."""
        import numpy as np

        random, batch, values = np.random.default_rng(0), case["batch"], []
        for each in case["parameters"]:
            if each["kind"] == "weight":
                if each["name"] not in weights:
                    weights[each["name"]] = self.draw(each, case["parameters"], len(weights))
                values.append(weights[each["name"]])
                continue
            value = {
                "tokens": lambda: random.integers(1, case["vocab_size"], (batch, case["prompt"])),
                "lengths": lambda: np.full(batch, case["prompt"]),
                "live": lambda: np.ones(batch),
            }.get(each["name"], lambda each=each: np.full(batch, case["row_values"][each["name"]]))()
            values.append(self.jax.device_put(value.astype(each["dtype"]), self.device))
        return values

    def draw(self, weight, parameters, number):
        """A weight on the device, of a size that keeps activations near 1."""
        jax, shape, name = self.jax, tuple(weight["shape"]), weight["name"]
        import jax.numpy as jnp

        dtype = jnp.dtype(weight["dtype"])
        if name.endswith("kernel_scale"):
            kernel = next(each for each in parameters if each["name"] == name.removesuffix("_scale"))
            return jnp.full(shape, 1.75 * kernel["shape"][-2] ** -0.5, dtype)
        if name.endswith(".scale"):
            return jnp.ones(shape, dtype)
        if not name.endswith("kernel") and "embedding" not in name:
            return jnp.zeros(shape, dtype)
        key = jax.random.key(number, impl="rbg")
        if dtype == jnp.int8:
            return self.maker(shape, dtype)(key)
        size = 0.02 if "embedding" in name else shape[-2] ** -0.5
        return self.maker(shape, dtype)(key, jnp.asarray(size, dtype))

    def maker(self, shape, dtype):
        """The compiled function that draws a weight of that shape."""
        jax = self.jax
        import jax.numpy as jnp

        made = self.__dict__.setdefault("makers", {})
        if (shape, dtype) not in made:
            if dtype == jnp.int8:
                made[shape, dtype] = jax.jit(lambda key: jax.random.randint(key, shape, -127, 128, jnp.int8))
            else:
                made[shape, dtype] = jax.jit(lambda key, size: jax.random.normal(key, shape, dtype) * size)
        return made[shape, dtype]


# ---------------------------------------------------------------------------------------------- PyTorch

#: In order of value: torch.compile with a static cache, plain, a static cache alone.
MODES = ("torch.compile", "eager", "static cache")


def work_torch(folder, cases, options):
    try:
        import torch
        import transformers
    except ImportError as error:
        for case in cases:
            emit(case["name"], {"modes": {"": {"error": str(error)}}})
        return
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    device = "cpu" if options.rehearse else "cuda"
    ends = time.monotonic() + options.seconds
    for case in cases:
        modes = {}
        try:
            model = torch_model(case, device)
            for mode in MODES:
                if ends - time.monotonic() < LEAST_SECONDS:
                    break
                try:
                    modes[mode] = torch_figures(model, case, mode, device)
                except Exception as error:  # the next mode may do
                    traceback.print_exc()
                    modes[mode] = {"error": f"{type(error).__name__}: {error}"[:2000]}
                emit(case["name"], {"versions": versions, "modes": modes})
            del model
        except Exception as error:
            traceback.print_exc()
            emit(case["name"], {"modes": {"": {"error": f"{type(error).__name__}: {error}"[:2000]}}})


def torch_model(case, device):
    """Random weights of the case's config, made on the device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    ends = {"eos_token_id": None, "bos_token_id": None, "pad_token_id": 0}
    config = AutoConfig.for_model(**case["config"] | ends)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, case["dtype"])).eval()


def torch_figures(model, case, mode, device):
    """``generate`` of transformers, greedy."""
    import torch
    from transformers import CompileConfig

    ids = torch.randint(1, case["vocab_size"], (case["batch"], case["prompt"]), device=device)
    how = {} if mode == "eager" else {"cache_implementation": "static"}
    if mode == "torch.compile":
        how["compile_config"] = CompileConfig(mode="reduce-overhead", fullgraph=False)
        how["compile_config"]._compile_all_devices = True
    else:
        how["disable_compile"] = True
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def call(count):
        with torch.inference_mode():
            answer = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=count,
                min_new_tokens=count,
                **how,
            )
        if device == "cuda":
            torch.cuda.synchronize()
        if answer.shape[1] != case["prompt"] + count:
            raise ValueError(f"generated {answer.shape[1] - case['prompt']} tokens, not {count}")

    found = figures(call, case["batch"], case["new_tokens"], rehearsing=device == "cpu")
    return found | ({"peak_bytes": torch.cuda.max_memory_allocated()} if device == "cuda" else {})


if __name__ == "__main__":
    raise SystemExit(main())
