"""Bytes, seconds and cost against figures made by hand, and the verb with everything it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import astuple, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from exporter.capacity.cards import CARDS, SOURCES
from exporter.capacity.memory import bucket_of, largest_batch, needed_bytes
from exporter.capacity.planning import Load, plan_capacity
from exporter.capacity.speed import Limits, batch_seconds, measured_efficiency, tokens_per_second
from exporter.capacity.subject import Subject, of_plan, of_version
from exporter.choices import Device
from exporter.cli import app, main
from exporter.demo import demo_path
from exporter.errors import GenserveError, OptionError
from exporter.exporting.plan import plan_export
from exporter.manifest import BucketMemory, Manifest, MemoryInfo, WarmupInfo
from exporter.options import make_options, read_job
from serving_configs import ServingOptions
from serving_configs.gpu_memory import planned_bytes
from tests.cli.documented import documented_keys
from tests.conftest import ROOT
from tests.serving_configs.manifests import manifest

GIB = 1 << 30
#: Seven billion parameters in 16 bits; a token's keys and values are 128 KiB.
LARGE = Subject(
    name="large",
    source="large",
    dtype="bfloat16",
    parameters=7_000_000_000,
    weights_bytes=14_000_000_000,
    row_bytes={1024: 1280 * 131_072, 4096: 4352 * 131_072},
    scaled=frozenset(),
    copies=1,
    max_new_tokens=256,
    batch_sizes=(1, 8),
    prompt_lengths=(1024, 4096),
    measured={},
    measured_on=None,
    batch_seconds=None,
)


def _stories(**values: Any) -> Subject:
    options = {"model": "demo:stories", "max_new_tokens": 16, "prompt_lengths": [16, 48], **values}
    return of_plan(plan_export(make_options(options), Path("nowhere")))


def test_states_are_as_large_in_every_bucket() -> None:
    """Of a version as of a plan: 100 bytes of states, and 10 a token."""
    found = manifest()
    lengths, generated = found.buckets.prompt_lengths, found.max_new_tokens
    memory = MemoryInfo(
        weights_bytes=1, cache_bytes_per_row=100 + 10 * (lengths[-1] + generated), state_bytes_per_row=100
    )
    rows = of_version(found.model_copy(update={"memory": memory})).row_bytes
    assert rows == {length: 100 + 10 * (length + generated) for length in lengths}


def test_a_manifest_has_every_buckets_keys_and_values() -> None:
    """With ``resume``, whose own bucket is longer, the longest one's are that one's."""
    found = manifest()
    memory = MemoryInfo(weights_bytes=1, cache_bytes_per_row=900, cache_bytes_by_length=(300, 700))
    subject = of_version(found.model_copy(update={"memory": memory}))
    assert subject.row_bytes == {32: 300, 128: 900}
    assert subject.scaled == frozenset()
    assert of_version(found).scaled == {32}


def _measured(device: Device = "gpu") -> Manifest:
    """A version whose buckets were measured, one batch size of the longer length alone."""
    found = [(0, 1, 32, 1000), (0, 4, 32, 4000), (1, 4, 32, 3000), (0, 1, 128, 5_000_000)]
    memory = [
        BucketMemory(program=p, batch_size=b, prompt_length=n, temporary_bytes=t, result_bytes=100)
        for p, b, n, t in found
    ]
    return manifest(warmup=WarmupInfo(memory=tuple(memory), batch_seconds=2.0, device=device))


@pytest.mark.parametrize(("options", "copies"), [({}, 1), ({"num_beams": 4}, 4)])
def test_keys_and_values_are_those_of_the_architecture(options: dict[str, Any], copies: int) -> None:
    """Two of hidden size for every layer and token, in float32; those of new tokens once per beam."""
    config = json.loads((demo_path("stories") / "config.json").read_text())
    subject = _stories(generation=options, target="cpu")
    token = 2 * config["n_layer"] * config["n_embd"] * 4
    assert subject.row_bytes == {length: token * (length + 16 * copies) for length in (16, 48)}
    assert subject.copies == copies
    assert bucket_of(subject, 8, 48).cache_bytes == 8 * token * (48 + 16 * copies)


def test_weights_are_those_of_the_checkpoint() -> None:
    """Its headers' tensors in float32: no buffer of attention masks among them."""
    from safetensors import safe_open

    with safe_open(str(demo_path("stories") / "model.safetensors"), "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    numbers = sum(tensor.size for tensor in tensors.values())
    assert _stories(target="cpu").weights_bytes == 4 * numbers


def test_measured_buckets_are_taken_as_they_are_and_lines_drawn_between_them() -> None:
    subject = of_version(_measured())
    (one, two, four) = (bucket_of(subject, rows, 32) for rows in (1, 2, 4))
    assert [bucket.source for bucket in (one, two, four)] == ["measured", "from measured", "measured"]
    beside = [bucket.total_bytes - bucket.weights_bytes for bucket in (one, two, four)]
    assert beside == [1210, 2310, 4510]  # a tenth more than XLA says, of the larger program
    assert bucket_of(subject, 8, 128).total_bytes == 4_000_000 + 8 * 5_500_110
    assert bucket_of(of_version(manifest()), 8, 128).source == "estimated"


def test_what_a_cpu_measured_counts_where_it_is_more_than_the_estimate() -> None:
    """Four rows of 32 tokens are estimated at 1.35 times their keys and values, and measured at 4 KB."""
    subject = of_version(_measured("cpu"))
    assert bucket_of(subject, 4, 32) == bucket_of(of_version(manifest()), 4, 32)
    long, estimate = (bucket_of(each, 1, 128) for each in (subject, of_version(manifest())))
    assert (long.source, bucket_of(subject, 8, 128).source) == ("measured on cpu", "from measured on cpu")
    assert long.total_bytes == 4_000_000 + 5_500_110 > estimate.total_bytes


def test_the_sums_are_those_of_the_emitted_configuration() -> None:
    for found in (manifest(), _measured()):
        capacity = plan_capacity(of_version(found))
        once = planned_bytes([found], ServingOptions(poll_seconds=0))
        twice = planned_bytes([found], ServingOptions(poll_seconds=5))
        assert capacity.largest.prompt_length == 128
        # Where a GPU measured, the configuration knows those buckets alone.
        largest = bucket_of(capacity.subject, 1, 128) if found.warmup.device == "gpu" else capacity.largest
        assert (needed_bytes(largest), needed_bytes(largest, 2)) == (once, twice)


def test_the_largest_batch_is_the_last_that_fits() -> None:
    for versions in (1, 2):
        rows = largest_batch(LARGE, 1024, 48 * GIB, versions)
        assert needed_bytes(bucket_of(LARGE, rows, 1024), versions) <= 48 * GIB
        assert needed_bytes(bucket_of(LARGE, rows + 1, 1024), versions) > 48 * GIB
    # 24 GiB less 1 for the runtime and 14e9 * 1.35 of weights, over 160 MiB * 1.35 a row.
    assert largest_batch(LARGE, 1024, 24 * GIB) == int((23 * GIB - 18.9e9) / (1280 * 131_072 * 1.35))
    assert largest_batch(LARGE, 1024, 24 * GIB, 2) == 0


def test_seconds_are_bytes_over_bandwidth_or_operations_over_their_rate() -> None:
    slow = Limits(bandwidth=1e12, efficiency=0.5, source="stated")
    step = (14e9 + 8 * 1280 * 131_072) / 1e12 / 0.5
    assert tokens_per_second(LARGE, slow, 8, 1024) == pytest.approx(8 / step)
    assert batch_seconds(LARGE, slow, 8, 1024, 100) == pytest.approx(100 * step)
    counted = replace(slow, flops=1e14)
    prompt = 2 * 7e9 * 8 * 1024 / 1e14 / 0.5
    assert batch_seconds(LARGE, counted, 8, 1024, 100) == pytest.approx(prompt + 99 * step)


def test_efficiency_is_the_limit_over_what_was_measured() -> None:
    subject, limits = replace(LARGE, batch_seconds=20.0), Limits(1e12)
    least = 256 * (14e9 + 8 * 4352 * 131_072) / 1e12
    assert measured_efficiency(subject, limits) == pytest.approx(least / 20)
    assert measured_efficiency(replace(LARGE, batch_seconds=least / 2), limits) is None
    assert measured_efficiency(LARGE, limits) is None
    assert of_version(_measured()).batch_seconds == 2.0
    assert of_version(manifest(warmup=WarmupInfo(batch_seconds=2.0, device="cpu"))).batch_seconds is None


def test_a_load_has_replicas_and_a_cost() -> None:
    limits, load = Limits(1e12, efficiency=0.5, source="stated"), Load(50.0, 1000, 200)
    fleet = plan_capacity(LARGE, 80 * GIB, limits, load, price_per_hour=3.0).fleet
    assert fleet is not None
    assert (fleet.prompt_length, fleet.queue.wait_seconds <= fleet.full_batch_seconds) == (1024, True)
    assert fleet.replicas * fleet.batch_size / fleet.full_batch_seconds > 50
    assert fleet.cost_per_million == pytest.approx(fleet.replicas * 3 / (50 * 200 * 3600 / 1e6))
    tokens = fleet.batch_size * 200 / fleet.full_batch_seconds * 3600
    assert fleet.cost_per_million_busy == pytest.approx(3 / (tokens / 1e6))


def test_what_cannot_be_is_refused_by_name() -> None:
    limits = Limits(1e12)
    with pytest.raises(OptionError, match=r"--gpu-memory: .* hold no bucket of large"):
        plan_capacity(LARGE, 8 * GIB)
    with pytest.raises(OptionError, match="--new-tokens: 300 is above max_new_tokens of large, 256"):
        plan_capacity(LARGE, 80 * GIB, limits, Load(1, 10, 300))
    with pytest.raises(OptionError, match="--prompt-tokens: 5000 is above the longest bucket of large, 4096"):
        plan_capacity(LARGE, 80 * GIB, limits, Load(1, 5000, 10))


def test_the_documented_cards_are_those_that_are_known() -> None:
    text = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"(?m)^\| (\S+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+|–) \| ([\d.]+|–) \| (\w), (\w), (\w|–) \|$", text
    )
    assert [
        (
            name,
            *(None if f == "–" else float(f) for f in row[:4]),
            *row[4:6],
            None if row[6] == "–" else row[6],
        )
        for name, *row in rows
    ] == [astuple(card) for card in CARDS.values()]
    sources = re.findall(r"(?m)^- (\w): <(\S+)>\s+\(([^)]+)\)$", text)
    assert {letter: (address, " ".join(read.split())) for letter, address, read in sources} == {
        letter: (source.address, source.read) for letter, source in SOURCES.items()
    }


def test_every_figure_of_a_card_has_a_source() -> None:
    for card in CARDS.values():
        assert {card.memory_source, card.bandwidth_source} <= set(SOURCES), card.name
        read = [figure for figure in (card.tflops16, card.tflops32) if figure is not None]
        assert bool(read) == (card.tflops_source in SOURCES), card.name
    used = {s for c in CARDS.values() for s in (c.memory_source, c.bandwidth_source, c.tflops_source)}
    assert used - {None} == set(SOURCES)
    assert all(source.address.startswith("https://") and source.read for source in SOURCES.values())


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_the_answer_has_the_documented_keys(tmp_path: Path) -> None:
    _measured().write(tmp_path)
    load = ["--requests-per-second", 5, "--prompt-tokens", 20, "--new-tokens", 10, "--price-per-hour", 1]
    told = _run(tmp_path, "--card", "h100 sxm", *load, "--json")
    assert told.exit_code == 0, told.exception
    answer = json.loads(told.stdout)
    nested = [answer["buckets"][0], answer["limits"], answer["lengths"][0], answer["fleet"], answer["chosen"]]
    keys = {key for part in (answer, *nested, answer["fleet"]["queue"]) for key in part}
    assert keys == documented_keys("plan")
    assert answer["limits"]["bandwidth"] == 3.35e12
    assert answer["limits"]["flops"] == 4.95e14  # of float32
    table = _run(tmp_path, "--card", "h100 sxm", *load)
    assert "from measured" in table.stdout
    assert "replicas with batches of" in table.stdout


def _table(text: str, first: str) -> list[list[str]]:
    """The words of each row below a head whose first column is called ``first``."""
    lines = text.splitlines()
    begin = next(place for place, line in enumerate(lines) if line.split()[:1] == [first])
    return [line.split() for line in takewhile(re.compile(r"\s*\d+\s").match, lines[begin + 1 :])]


def test_the_tables_say_what_json_says(tmp_path: Path) -> None:
    memory = MemoryInfo(
        weights_bytes=4_000_000, cache_bytes_per_row=1_500_000, cache_bytes_by_length=(750_000, 1_500_000)
    )
    _measured().model_copy(update={"memory": memory}).write(tmp_path)
    load = ["--requests-per-second", 5, "--prompt-tokens", 20, "--new-tokens", 10, "--price-per-hour", 1.5]
    arguments = [tmp_path, "--card", "L4", "--gpu-memory", "1300MiB", "--efficiency", 0.37, *load]
    answer, text = json.loads(_run(*arguments, "--json").stdout), _run(*arguments).stdout
    one, two = (f"{answer[key]:.2f}" for key in ("memory_fraction", "memory_fraction_in_rollover"))
    assert one != two
    assert f"one version: per_process_gpu_memory_fraction {one}\n" in text
    assert re.search(rf"two versions, [^:\n]*: per_process_gpu_memory_fraction {two}\n", text)
    assert f"efficiency {answer['limits']['efficiency']:.2f}: as stated" in text
    fleet, chosen = answer["fleet"], answer["chosen"]
    costs = [f"{fleet[key]:.3g}" for key in ("cost_per_million", "cost_per_million_busy")]
    assert costs[0] != costs[1]
    assert f"cost {costs[0]} at this load, {costs[1]} with every replica busy" in text
    batches = f"{fleet['batch_size']} x {fleet['prompt_length']}"
    assert f"{fleet['replicas']:,} replicas with batches of {batches}\n" in text
    shares = (chosen["memory_fraction"], chosen["memory_fraction_in_rollover"])
    assert "fraction {}, with two versions {}".format(*shares) in text
    assert [[int(word) for word in row[:3]] for row in _table(text, "length")] == [
        [room[key] for key in ("prompt_length", "rows", "rows_in_rollover")] for room in answer["lengths"]
    ]
    speeds = [[row[3].replace(",", ""), row[4].replace(",", "")] for row in _table(text, "length")]
    assert speeds == [
        [f"{room[key]:.0f}" for key in ("tokens_per_second_at_limit", "tokens_per_second")]
        for room in answer["lengths"]
    ]
    assert [[int(word) for word in row[:2]] for row in _table(text, "batch")] == [
        [bucket["batch_size"], bucket["prompt_length"]] for bucket in answer["buckets"]
    ]


def test_a_card_without_a_figure_of_its_arithmetic_says_so(tmp_path: Path) -> None:
    manifest().write(tmp_path)
    for arguments, said in (
        (["--card", "RTX-6000-Ada"], True),
        (["--gpu-memory", "24GiB", "--bandwidth", 300], True),
        (["--card", "L4"], False),
    ):
        assert ("arithmetic is not counted" in _run(tmp_path, *arguments).stdout) == said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--card", "H1000"], "--card: 'H1000' is none"),
        (["--gpu-memory", "24"], "--gpu-memory: '24' must be a number with GiB"),
        (["--gpu-memory", "24GiB", "--efficiency", "1.5"], "--efficiency: 1.5 must be at most 1"),
        (["--gpu-memory", "24GiB", "--efficiency", "0.5"], "--efficiency: needs a --card or --bandwidth"),
        (["--card", "L4", "--requests-per-second", "1"], "--prompt-tokens, --new-tokens: missing"),
        (["--card", "L4", "--price-per-hour", "1"], "--price-per-hour: needs --requests-per-second"),
        (["--card", "L4", "--wait", "1"], "--wait: needs a load"),
        (["--card", "L4", "--wait", "0"], "--wait: 0 must be above 0"),
        (["--card", "L4", "--option", "num_beams=2"], "--option: is of a model's export"),
        (["--card", "L4", "--plot", "plan.nonsense"], "--plot: plan.nonsense cannot be written"),
        (["--apply", "job.yaml"], "job file job.yaml cannot be read"),
    ],
)
def test_flags_are_refused_by_name(arguments: list[str], told: str, tmp_path: Path) -> None:
    if "--plot" in arguments:
        pytest.importorskip("matplotlib")
    manifest().write(tmp_path)
    error = _run(tmp_path, *arguments).exception
    assert isinstance(error, GenserveError)
    assert told in str(error)


def test_a_plot_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    manifest().write(tmp_path)
    assert _run(tmp_path, "--card", "L4", "--plot", tmp_path / "plan.png").exit_code == 0
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_without_matplotlib_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest().write(tmp_path)
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("sys.argv", ["genserve", "plan", str(tmp_path), "--card", "L4", "--plot", "plan.png"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 8
    told = "genserve plan needs matplotlib, which is not installed: pip install '.[bench]' in "
    assert told in capsys.readouterr().err


JOB = """\
# what is served
output: models
defaults: {max_new_tokens: 32}
models:
  - model: demo:stories   # small
    name: a
    prompt_lengths: [16, 64]  # of our prompts
  - {model: "demo:stories", name: b, batch_sizes: [2,
       4]}
"""


@pytest.mark.parametrize("name", ["a", "b"])
def test_chosen_buckets_are_written_and_nothing_else(name: str, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    told = _run(name, "--card", "L4", "--apply", job, "--json")
    assert told.exit_code == 0, told.exception
    chosen = json.loads(told.stdout)["chosen"]
    before, after = yaml.safe_load(JOB), yaml.safe_load(job.read_text())
    place = "ab".index(name)
    before["models"][place] |= {key: chosen[key] for key in ("batch_sizes", "prompt_lengths")}
    assert after == before
    for comment in ("# what is served", "# small", "# of our prompts"):
        assert comment in job.read_text()
    options = read_job(job, None, {}).exports[place]
    assert (list(options.batch_sizes), list(options.prompt_lengths or ())) == (
        chosen["batch_sizes"],
        chosen["prompt_lengths"],
    )
    assert chosen["batch_sizes"][-1] == 256


def test_a_job_without_the_model_or_with_lengths_of_another_kind(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    error = _run("c", "--card", "L4", "--apply", job).exception
    assert "no model of" in str(error)
    assert "allowed: one of a, b" in str(error)
    assert "more than one model" in str(_run("demo:stories", "--card", "L4", "--apply", job).exception)
    job.write_text("output: o\ndefaults: {pad_to_multiple_of: 32}\nmodels: [{model: 'demo:stories'}]\n")
    before = job.read_text()
    error = _run("stories", "--card", "L4", "--apply", job).exception
    assert "pad_to_multiple_of excludes the prompt_lengths that --apply writes" in str(error)
    assert job.read_text() == before


def test_planning_a_version_loads_nothing_heavy(tmp_path: Path) -> None:
    manifest().write(tmp_path)
    code = (
        f"import sys; sys.argv = ['genserve', 'plan', {str(tmp_path)!r}, '--card', 'L4']\n"
        "from exporter.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print({'tensorflow', 'transformers', 'torch', 'keras'} & set(sys.modules))"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert out.splitlines()[-1] == "set()"
