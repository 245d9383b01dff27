"""Loads a version as TensorFlow Serving does, in a process with TensorFlow and tf.Text and nothing of ours.

    python -P isolated.py VERSION < job.json

Prints a line of JSON for every phase; a phase that fails is the last one. On stderr a line
``genserve: PHASE`` stands before what TensorFlow logs in it. Imports nothing of genserve: run by its path.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PATH = re.compile(rb"/(?:[^/\0:*]+/)+[^/\0:*]*", re.DOTALL)
WARMUP = "assets.extra/tf_serving_warmup_requests"
#: The signature of warmup records that run a program in a bucket.
WARM_UP = "warm_up"


def main() -> None:
    directory, job = sys.argv[1], json.load(sys.stdin)
    session: Any = None
    for phase in job["phases"]:
        print(f"genserve: {phase}", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            facts: dict[str, Any] = {}
            if phase == "graph":
                facts = graph(directory)
            elif phase == "load":
                session = Session(directory)
            else:
                facts = getattr(session, phase)(job)
        except Exception as error:  # whatever it is, it is what a server would meet
            lines = str(error).strip().splitlines() or [type(error).__name__]
            print(json.dumps({"phase": phase, "error": lines[0][:500]}), flush=True)
            return
        seconds = round(time.monotonic() - started, 3)
        print(json.dumps({"phase": phase, "seconds": seconds, **facts}), flush=True)


def graph(directory: str) -> dict[str, Any]:
    """The ops that a server needs; strings that are absolute paths."""
    import tensorflow_text  # noqa: F401  (registers the ops of tf.Text)
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString((Path(directory) / "saved_model.pb").read_bytes())
    (meta,) = model.meta_graphs
    functions = meta.graph_def.library.function
    nodes = [*meta.graph_def.node, *(node for function in functions for node in function.node_def)]
    return {
        "ops": sorted({node.op for node in nodes} - {function.signature.name for function in functions}),
        "paths": sorted({path for node in nodes for path in paths(node)}),
        "assets": sorted(asset.filename for asset in meta.asset_file_def),
    }


def paths(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        for item in (value.s, *value.list.s, *value.tensor.string_val):
            if _PATH.fullmatch(item):
                yield item.decode("utf-8", "replace")


class Session:
    """The version in a session, as the server's bundle."""

    def __init__(self, directory: str) -> None:
        import tensorflow as tf

        self._directory = directory
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        meta = tf.compat.v1.saved_model.load(self._session, ["serve"], directory)
        self._signatures = meta.signature_def
        self._limit = self._limiting()

    def _limiting(self) -> Any:
        """What sets the variable that ends answers early; None where the version has none."""
        import tensorflow as tf

        with self._session.graph.as_default():
            for op in self._session.graph.get_operations():
                if op.type == "VarHandleOp" and op.get_attr("shared_name") == b"answer_limit":
                    value = tf.compat.v1.placeholder(tf.int32, [])
                    assign = tf.raw_ops.AssignVariableOp(resource=op.outputs[0], value=value)
                    return lambda limit: self._session.run(assign, {value: limit or tf.int32.max})
        return None

    def run(self, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        signature = self._signatures[name]
        feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
        return self._session.run({key: info.name for key, info in signature.outputs.items()}, feeds)

    def warmup(self, job: dict[str, Any]) -> dict[str, Any]:
        """Every record once, as a server that loads the version."""
        count = 0
        for name, inputs in self._records() if job["warmup"] else ():
            self.run(name, inputs)
            count += 1
        return {"records": count}

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Signature and inputs of every warmup record."""
        import tensorflow as tf
        from tensorflow_serving.apis import prediction_log_pb2

        path = Path(self._directory) / WARMUP
        for record in tf.compat.v1.io.tf_record_iterator(str(path)) if path.is_file() else ():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            yield request.model_spec.signature_name, inputs

    def hlo(self, job: dict[str, Any]) -> dict[str, Any]:
        """The warmup records of the job's programs, and which files XLA dumped for each."""
        found = []
        for name, inputs in self._records():
            if name != WARM_UP or inputs["program"][0] not in job["programs"]:
                continue
            before = set(Path(job["dump"]).iterdir())
            self.run(name, inputs)
            files = sorted(str(path) for path in set(Path(job["dump"]).iterdir()) - before)
            bucket = {key: int(inputs[key][0]) for key in ("program", "prompt_tokens")}
            found.append({**bucket, "rows": len(inputs["program"]), "files": files})
        return {"found": found}

    def golden(self, job: dict[str, Any]) -> dict[str, Any]:
        """The answers to the job's requests; one may take an output of another's before it."""
        answers: list[dict[str, Any]] = []
        for request in job["requests"]:
            if self._limit:
                self._limit(request.get("limit"))
            try:
                inputs = {key: self._input(answers, value) for key, value in request["inputs"].items()}
                answers.append(plain(self.run(request["signature"], inputs)))
            except Exception as error:
                answers.append({"": (str(error).strip().splitlines() or [type(error).__name__])[0][:500]})
        return {"answers": answers}

    def _input(self, answers: list[dict[str, Any]], value: Any) -> list[Any]:
        if not isinstance(value, dict):
            return strings(value)
        column = answers[value["request"]][value["output"]]
        if "most" in value:
            return [min(number, value["most"]) for number in column]
        return [(row + [0] * value["width"])[: value["width"]] for row in column]

    def variants(self, job: dict[str, Any]) -> dict[str, Any]:
        """Each of the job's variants: requests together in one batch, repeated, with a long neighbour."""
        found = []
        for variant in job["variants"]:
            rows = [self._row(job["requests"][index]) for index in variant["requests"]]
            name = job["requests"][variant["requests"][0]]["signature"]
            if variant["neighbour"]:
                rows.append(self._long(rows[0], variant["neighbour"]))
            if self._limit:
                self._limit(job["requests"][variant["requests"][0]].get("limit"))
            keys = list(rows[0])
            batch = {key: [item for row in rows for item in row[key]] for key in keys}
            answer = plain(self.run(name, batch))
            for place, index in enumerate(variant["requests"]):
                outputs = {key: [value[place]] for key, value in answer.items()}
                found.append({"request": index, "outputs": outputs, **variant})
        return {"found": found}

    def _long(self, row: dict[str, Any], most: int) -> dict[str, Any]:
        """A row like another one, its prompt repeated to as many tokens as ``most`` allows.

        Of a template's fields the longest is repeated, to half of that: the template's own words need room.
        """
        if "input_ids" in row:
            ids, count = list(row["input_ids"][0]), int(row["num_tokens"][0])
            whole = (ids[: max(count, 1)] * most)[:most]
            return row | {"input_ids": [whole + [0] * (len(ids) - most)], "num_tokens": [most]}
        field = "text" if "text" in row else max(row, key=lambda name: len(row[name][0]))
        most = most if field == "text" else most // 2
        fits, too_many = 1, most + 1
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            count = self.run("encode", {"text": [row[field][0] * middle]})["num_tokens"][0]
            fits, too_many = (middle, too_many) if count <= most else (fits, middle)
        return row | {field: [row[field][0] * fits]}

    def _row(self, request: dict[str, Any]) -> dict[str, Any]:
        return {key: strings(value) for key, value in request["inputs"].items()}


def strings(value: list[Any]) -> list[Any]:
    return [item.encode() if isinstance(item, str) else item for item in value]


def plain(outputs: dict[str, Any]) -> dict[str, Any]:
    """Arrays as nests of Python's own values."""

    def values(item: Any) -> Any:
        if isinstance(item, list):
            return [values(element) for element in item]
        return item.decode("utf-8", "replace") if isinstance(item, bytes) else item

    return {key: values(value.tolist()) for key, value in outputs.items()}


if __name__ == "__main__":
    main()
