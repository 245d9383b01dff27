"""When an answer is the golden one, and a live server's answers against a manifest's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from exporter.client import Client, RequestError, SignatureInfo, TensorInfo, VersionStatus
from exporter.manifest import GoldenAnswer
from exporter.verification.agreement import LOW_MARGIN, Comparison, compare, summary, uncompared
from exporter.verification.live import verify_server
from tests.serving_configs.manifests import manifest

OUTPUTS = {"generated_text": ["one two three"], "num_tokens": [3], "finish_reason": ["length"], "error": [""]}
SURE = GoldenAnswer(
    signature="serving_default",
    inputs={"text": ["a"]},
    outputs=OUTPUTS,
    margins=(2.0, 1.0, 3.0),
    decided=(0, 3, 7),
)
UNSURE = SURE.model_copy(update={"margins": (2.0, 1.0, LOW_MARGIN / 2)})
SHORT = SURE.model_copy(update={"max_new_tokens": 3})


def answer(**changes: Any) -> dict[str, Any]:
    return OUTPUTS | changes


def test_equal_is_equal_however_unsure() -> None:
    assert compare(SURE, answer()) == compare(UNSURE, answer()) == Comparison()
    assert compare(SURE, answer(truncated=[False])) == Comparison()


def test_another_text_of_sure_steps_is_another_answer() -> None:
    (problem,) = compare(SURE, answer(generated_text=["one two four"])).problems
    assert problem == "generated_text is ['one two four'], was ['one two three']"
    assert compare(SURE, answer(num_tokens=[2])).problems
    assert compare(SURE.model_copy(update={"margins": (), "decided": ()}), answer(num_tokens=[2])).problems
    assert compare(SURE, {}).problems


def test_the_comparison_ends_at_the_first_low_margin_step() -> None:
    assert compare(UNSURE, answer(generated_text=["one two x"], num_tokens=[9])) == Comparison(
        (), 2, LOW_MARGIN / 2
    )
    assert compare(UNSURE, answer(generated_text=["one tow x"])).problems == (
        "generated_text begins 'one tow', began 'one two'",
    )
    assert compare(UNSURE, answer(generated_text=["one two x"], error=["no"])).problems


def test_a_server_goes_on_where_the_golden_answer_was_ended() -> None:
    longer = answer(generated_text=["one two threefold"], num_tokens=[9])
    assert compare(SHORT, longer, whole=False) == Comparison()
    assert compare(SHORT, longer).problems
    assert compare(SHORT, answer(generated_text=["one tow"]), whole=False).problems


def test_what_is_not_compared_is_said() -> None:
    """Answers without margins, drawn ones, and ones that another number of tokens makes others."""
    unsure = SURE.model_copy(update={"margins": (), "decided": (), "unsure": "the prompt was cut off"})
    (problem,) = compare(unsure, answer(num_tokens=[2])).problems
    assert problem.endswith("(the prompt was cut off)")
    short = unsure.model_copy(update={"max_new_tokens": 3})
    searched = SHORT.model_copy(update={"margins": (0.25,), "decided": (0,)})
    drawn = SURE.model_copy(update={"outputs": {"error": [""]}, "not_compared": "all but errors"})
    ended = [compare(one, answer(), whole=False) for one in (short, searched)]
    assert [one.stopped_at for one in ended] == [0, 0]
    said = summary([*ended, compare(drawn, answer(generated_text=["x"])), compare(SURE, answer())])
    early = "of 1 not compared: all of it: it was ended early at export, and "
    assert said.split("; ") == [
        "1 of 4 equal as a whole",
        f"{early}the prompt was cut off",
        f"{early}which of its steps fix what is not known",
        "of 1 not compared: all but errors",
    ]
    assert uncompared(ended)
    assert not uncompared([*ended, compare(SURE, answer())])


def test_probabilities_count_whatever_tokens_tie() -> None:
    outputs = {"tokens": [[1, 2]], "probabilities": [[0.5, 0.25]], "error": [""]}
    golden = SURE.model_copy(update={"outputs": outputs, "margins": (0.0,), "decided": (0,)})
    assert not compare(golden, outputs | {"tokens": [[1, 3]]}).problems
    assert compare(golden, outputs | {"tokens": [[1, 3]], "probabilities": [[0.5, 0.2]]}).problems


def test_floats_are_compared_within_the_tolerance() -> None:
    golden = SURE.model_copy(update={"outputs": {"score": [-3.0, float("nan")], "error": [""]}})
    assert not compare(golden, {"score": [-3.0005, float("nan")], "error": [""]}).problems
    assert compare(golden, {"score": [-3.1, float("nan")], "error": [""]}).problems
    assert compare(golden, {"score": [-3.0, 0.0], "error": [""]}).problems


class Server:
    """A client whose server answers as it is told."""

    def __init__(
        self, outputs: dict[str, Any] | Exception, state: str = "AVAILABLE", version: int = 1
    ) -> None:
        self.outputs, self.state, self.version = outputs, state, version
        self.signature = SignatureInfo(
            {"text": TensorInfo("string", (None,))},
            {name: TensorInfo("int32" if name == "num_tokens" else "string", (None,)) for name in OUTPUTS},
        )

    def status(self) -> list[VersionStatus]:
        return [VersionStatus(self.version, self.state, "OK", "")]

    def metadata(self) -> dict[str, SignatureInfo]:
        nothing = SignatureInfo({}, {"op": TensorInfo("invalid", None)})
        return {"serving_default": self.signature, "__saved_model_init_op": nothing}

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        if isinstance(self.outputs, Exception):
            raise self.outputs
        encoded = {
            name: [item.encode() if isinstance(item, str) else item for item in value]
            for name, value in self.outputs.items()
        }
        return {name: np.asarray(value, object) for name, value in encoded.items()}


def judged(directory: Path, server: Server, *golden: GoldenAnswer) -> dict[str, tuple[str, str]]:
    manifest(golden=golden).write(directory)
    report = verify_server(directory, cast(Client, server), "there")
    return {check.name: (check.status, check.detail) for check in report.checks}


def test_a_good_server(tmp_path: Path) -> None:
    found = judged(tmp_path, Server(answer()), SURE, UNSURE)
    assert {status for status, _ in found.values()} == {"passed"}
    assert found["golden answers"][1] == "2 of 2 equal as a whole"


def test_a_server_that_rounds_otherwise_is_told_of(tmp_path: Path) -> None:
    found = judged(tmp_path, Server(answer(generated_text=["one two x"])), UNSURE)
    status, detail = found["golden answers"]
    assert status == "passed"
    assert detail == "0 of 1 equal as a whole; one equal up to step 2, whose margin 0.025 is below 0.05"


@pytest.mark.parametrize(
    ("server", "golden", "check", "said"),
    [
        (Server(answer(generated_text=["x"])), (SURE,), "golden answers", "generated_text is ['x']"),
        (Server(answer()), (), "golden answers", "has none"),
        (Server(RequestError("INTERNAL", "XLA compilation disabled")), (SURE,), "golden answers", "XLA comp"),
        (Server(answer(), state="LOADING"), (SURE,), "available", "version 1 is LOADING"),
        (Server(answer(), version=2), (SURE,), "available", "no version 1 of stories: 2"),
    ],
)
def test_bad_servers(
    tmp_path: Path, server: Server, golden: tuple[GoldenAnswer, ...], check: str, said: str
) -> None:
    status, detail = judged(tmp_path, server, *golden)[check]
    assert status == "failed"
    assert said in detail


def test_other_signatures(tmp_path: Path) -> None:
    server = Server(answer())
    server.signature = SignatureInfo({"words": TensorInfo("string", (None,))}, server.signature.outputs)
    status, detail = judged(tmp_path, server, SURE)["signatures"]
    assert (status, detail) == (
        "failed",
        "serving_default: inputs are {'words': 'string'}, were {'text': 'string'}",
    )
