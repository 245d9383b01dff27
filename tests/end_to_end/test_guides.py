"""An export with guides that rows choose from and a preset with one of its own, behind the preview server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tensorflow as tf

from exporter.client import Client
from exporter.deployment import write_serving_configs
from exporter.errors import OptionError
from exporter.exported_report import inspect_version
from exporter.exporting.pipeline import ExportResult, export
from exporter.exporting.plan import plan_export
from exporter.generation.rows import EXTRA_FIELDS
from exporter.options import make_options
from exporter.preview import PreviewServer, ServerConfig, files_beside
from exporter.verification import verify_version

pytestmark = pytest.mark.end_to_end

CHOICE = ["yes", "no", "not at all"]
PATTERN = r"[0-9]{1,3}(, [0-9]{1,3}){0,2}\."
SCHEMA = {
    "type": "object",
    "properties": {"fox": {"type": "boolean"}, "count": {"type": "integer", "minimum": 1, "maximum": 99}},
    "required": ["fox", "count"],
    "additionalProperties": False,
}
OPTIONS: dict[str, Any] = {
    "model": "demo:stories",
    "max_new_tokens": 40,
    "prompt_lengths": [16],
    "batch_sizes": [4],
    "warmup": "none",
    "guides": {"answer": {"choice": CHOICE}, "numbers": {"regex": PATTERN}},
    "signatures": {"record": {"guided_json": SCHEMA}},
}
PROMPTS = ["Once upon a time", "1, 2, 3,", "The fox", "Question: how many"]


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory, full: bool) -> ExportResult:
    options = OPTIONS | {"verify": "full" if full else "none"}
    return export(make_options(options), tmp_path_factory.mktemp("guided"))


@pytest.fixture(scope="module")
def client(guided: ExportResult) -> Iterator[Any]:
    out = guided.directory.parent.parent
    write_serving_configs(out)
    config = out / "serving" / "models.config"
    # Nothing is warmed up: the first answer of each signature waits for its compilation.
    files = files_beside(config) | {"rest_api_timeout_in_ms": 600_000}
    with (
        PreviewServer(ServerConfig(model_config_file=config, rest_port=0, grpc_port=0, **files)) as running,
        Client(running.rest_url, "stories", timeout=600.0) as made,
    ):
        yield made


def test_each_row_follows_its_guide(client: Any, full: bool) -> None:
    chosen = [0, 1, -1, 0]
    for seed in range(20 if full else 4):
        options = {"temperature": 3.0, "seed": [seed * 10 + row for row in range(4)], "guide": chosen}
        answers = client.generate(PROMPTS, max_new_tokens=40, **options)
        assert [answer.finish_reasons for answer in answers[:2] + answers[3:]] == [("stop",)] * 3
        assert {answers[0].text, answers[3].text} <= set(CHOICE)
        assert re.fullmatch(PATTERN, answers[1].text)
    free = client.generate(PROMPTS[2:3], max_new_tokens=40)
    followed = client.generate(PROMPTS[2:3], max_new_tokens=40, guide=-1)
    assert followed == free, "a guide that is left out is none"


@pytest.mark.full
def test_a_preset_answers_json(client: Any) -> None:
    for answer in client.generate(PROMPTS, signature="record"):
        assert answer.finish_reasons == ("stop",)
        jsonschema.validate(json.loads(answer.text), SCHEMA)


def test_a_guide_that_is_none_is_the_rows_own_error(client: Any) -> None:
    good, bad = client.predict(
        "generate",
        {
            "text": PROMPTS[:2],
            "max_new_tokens": [40, 40],
            **{name: [value] * 2 for name, value in NEUTRAL.items()},
            "guide": [0, 2],
        },
    )["error"]
    assert (good, bad) == (b"", b"guide=2: allowed: 0 to 1, or -1 (none)")


NEUTRAL = {
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": 1,
}


@pytest.mark.full
def test_pieces_of_a_guided_answer_are_the_whole(tmp_path: Path) -> None:
    """One token a call, as a gateway would ask at its slowest."""
    extra = {"extra_signatures": ["generate_tokens", "resume"], "verify": "none"}
    version = export(make_options(OPTIONS | extra), tmp_path)
    loaded = tf.saved_model.load(str(version.directory)).signatures

    def ask(name: str, **given: Any) -> dict[str, Any]:
        """One row: what is not given is neutral, ids right-padded with 0."""
        inputs = {}
        for key, spec in loaded[name].structured_input_signature[1].items():
            fill = -1 if key in EXTRA_FIELDS and spec.dtype == tf.int32 else 0
            value = given.get(key, NEUTRAL.get(key, fill if spec.shape.rank == 1 else []))
            if spec.shape.rank == 2:
                value = [*value, *[fill] * spec.shape[1]][: spec.shape[1]]
            inputs[key] = tf.constant([value], spec.dtype)
        return {key: value.numpy()[0] for key, value in loaded[name](**inputs).items()}

    encoded = loaded["encode"](text=tf.constant(PROMPTS[:1]))
    ids = encoded["input_ids"].numpy()[0].tolist()
    row = {"input_ids": ids, "num_tokens": len(ids), "temperature": 2.0, "guide": 1, "max_new_tokens": 40}
    whole = ask("generate_tokens", **row)
    written: list[int] = []
    text, reason = "", ""
    while not reason:
        piece = ask("resume", **row, generated_ids=written, num_generated=len(written), piece_tokens=1)
        assert piece["error"] == b""
        written += piece["generated_ids"][: piece["num_tokens"]].tolist()
        text, reason = text + piece["generated_text"].decode(), piece["finish_reason"].decode()
    assert written == whole["generated_ids"][: whole["num_tokens"]].tolist()
    assert re.fullmatch(PATTERN, text)
    answer = ask("resume", **row, generated_ids=ids[:1], num_generated=1, piece_tokens=1)
    assert answer["error"] == b"generated_ids: no answer by the row's guide begins so"


def test_the_manifest_says_what_they_are(guided: ExportResult) -> None:
    infos = guided.manifest.guides
    assert [(info.name, info.kind, info.signature) for info in infos] == [
        ("answer", "choice", None),
        ("numbers", "regex", None),
        ("record.guided_json", "json", "record"),
    ]
    assert all(info.states > 2 and info.classes > 2 and info.bytes > 0 for info in infos)
    report = str(inspect_version(guided.directory))
    assert re.search(r"guide +answer: choice, \d+ states, \d+ classes of tokens, [\d,]+ bytes", report)


@pytest.mark.full
def test_golden_answers_follow_the_guides_and_are_verified(guided: ExportResult) -> None:
    asked = [answer for answer in guided.manifest.golden if "guide" in answer.inputs]
    assert [answer.inputs["guide"] for answer in asked] == [[0], [1]]
    assert asked[0].outputs["generated_text"][0] in CHOICE
    assert all(answer.margins for answer in asked)
    (record,) = (answer for answer in guided.manifest.golden if answer.signature == "record")
    jsonschema.validate(json.loads(record.outputs["generated_text"][0]), SCHEMA)
    assert verify_version(guided.directory) == len(guided.manifest.golden)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tokenizer": "none"}, "a guide is followed by the texts of tokens; tokenizer 'none' has none"),
        ({"extra_signatures": ["score"]}, "no signature takes a guide; extra_signatures: generate,"),
        ({"generation": {"guided_regex": "a"}}, "every row of generate follows the exported guided_regex"),
        ({"generation": {"stop_strings": ["x"]}}, "stop_strings=['x'] would too"),
        ({"guides": {"a": {"regex": "["}}}, "is not a regular expression"),
        ({"guides": {"a.b": {"regex": "a"}}}, "'a.b' must be 1-63 letters"),
        ({"guides": {"a": {"regex": "a", "choice": ["b"]}}}, "allowed: one of regex, choice and json"),
        ({"guides": {"a": {"grammar": "a"}}}, "guided_grammar"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(
    changed: dict[str, Any], message: str, tmp_path: Any
) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        plan_export(make_options(OPTIONS | changed), tmp_path)
