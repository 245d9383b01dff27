"""What servers and clients say when something is set up wrongly: what it means, and what mends it.

One table: clients add it to a server's words, ``genserve doctor --message`` looks texts up, and
docs/troubleshooting.md names every entry.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Symptom(NamedTuple):
    """A kind of message.

    Attributes:
      id: a name that does not change.
      pattern: a regular expression that is found in the message, whatever its case.
      meaning: why it is said.
      mend: the command or setting that mends it.
    """

    id: str
    pattern: str
    meaning: str
    mend: str


SYMPTOMS = (
    Symptom(
        "xla-disabled",
        r"XLA compilation disabled",
        "the server was started without XLA, and every program of an export is compiled by it",
        "start it with OUT/serving/run.sh, or with --xla_cpu_compilation_enabled=true (CPU) or "
        "--xla_gpu_compilation_enabled=true (GPU)",
    ),
    Symptom(
        "op-not-registered",
        r"Op type not registered",
        "the server is older than the TensorFlow that exported, or was built without tf.Text",
        "a server at least as new, with tf.Text as in the stock ones: genserve config OUT "
        "--serving-version RELEASE",
    ),
    Symptom(
        "grpc-threads",
        r"Server Threadpool Exhausted",
        "more gRPC calls at once than the server has threads",
        "raise concurrent_clients in the serving options, then genserve config OUT (--grpc_max_threads)",
    ),
    Symptom(
        "message-size",
        r"Received message larger than max|Sent message larger than max|(?=.*message)(?=.*\b4194304\b)",
        "gRPC's own limit of 4 MB in the client: the answer is larger",
        "exporter.Client has no limit; elsewhere set grpc.max_receive_message_length to -1",
    ),
    Symptom(
        "batch-too-large",
        r"Task size \d+ is larger than maximum input batch size \d+",
        "a batching server refuses requests with more rows than its largest batch",
        "exporter.Client(max_batch_size=...), genserve generate --rows-per-request, or larger --batch-sizes "
        "at export",
    ),
    Symptom(
        "queue-full",
        r"batch scheduling queue .* is full|The batch scheduling queue",
        "more requests wait than the batching queue may hold",
        "raise concurrent_clients in the serving options, then genserve config OUT; or more servers",
    ),
    Symptom(
        "rest-timeout",
        r"Timed out waiting for notification|timeout exceeded while waiting in batching queue",
        "the request's time was over: over REST 30 s, unless the server is told otherwise",
        "genserve warm OUT measures a full batch and writes --rest_api_timeout_in_ms; or give the flag "
        "yourself",
    ),
    Symptom(
        "token",
        r"missing or wrong bearer token",
        "the front asks for its token",
        "GENSERVE_TOKEN, --token-file FILE, or exporter.Client(token=...)",
    ),
    Symptom(
        "certificate",
        r"CERTIFICATE_VERIFY_FAILED",
        "the server's certificate is of an authority that this machine does not know",
        "--ca FILE, or exporter.Client(ca=...)",
    ),
    Symptom(
        "tensorflow-server-older",
        r"NodeDef mentions attr .* not in Op|Check whether your GraphDef-interpreting binary is up to date",
        "the server is older than the TensorFlow that exported",
        "a server at least as new: genserve config OUT --serving-version",
    ),
)


def recognise(message: str) -> Symptom | None:
    """The first symptom that a message shows."""
    found = (s for s in SYMPTOMS if re.search(s.pattern, message, re.IGNORECASE | re.DOTALL))
    return next(found, None)
