"""The export's script, with a genserve that notes what it is asked for and a real one; and its object."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from exporter.manifest import Manifest
from serving_configs import render
from tests.cli.parsing import parse
from tests.conftest import ROOT
from tests.serving_configs.kubernetes.deployments import IMAGE, JOB, files_of, objects_of, one, options
from tests.serving_configs.manifests import manifest

#: The words of a command are a line, with a tabulator between them.
GENSERVE = """#!/bin/sh
(IFS='	'; echo "$*") >>"$LOG"
if [ "$1" = export ]; then
  printf '{"version_directory": "%s/a b/3"}\\n{"version_directory": "%s/other/1"}\\n' "$2" "$2"
elif [ "$1" = "$FAILS" ]; then
  exit 6
fi
"""


def run(script: str, folder: Path, fails: str = "") -> tuple[int, list[str]]:
    """Exit code, and the commands, which the real command line takes."""
    program, log = folder / "bin" / "genserve", folder / "log"
    program.parent.mkdir(exist_ok=True)
    program.write_text(GENSERVE)
    program.chmod(0o755)
    (folder / "export.sh").write_text(script.replace("/tmp/", f"{folder}/"))
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "LOG": str(log), "FAILS": fails}
    result = subprocess.run(
        ["sh", folder / "export.sh", "/etc/job.yaml"],
        env=environment | {"LABEL": "canary"},
        capture_output=True,
        text=True,
    )
    commands = [line.split("\t") for line in log.read_text().splitlines()]
    for command in commands:
        parse(command)
    return result.returncode, [" ".join(command) for command in commands]


def test_versions_are_verified_before_any_gets_a_label(tmp_path: Path) -> None:
    code, commands = run(files_of("everything")["kubernetes/export/export.sh"], tmp_path)
    assert (code, commands) == (
        0,
        [
            "export /models --config /etc/job.yaml --json",
            "verify /models/a b/3",
            "verify /models/other/1",
            "promote /models/a b 3 --label canary --url http://tales:8501",
            "promote /models/other 1 --label canary --url http://tales:8501",
        ],
    )


def test_a_version_that_fails_gets_none(tmp_path: Path) -> None:
    code, commands = run(files_of("everything")["kubernetes/export/export.sh"], tmp_path, fails="verify")
    assert code == 6
    assert not [command for command in commands if command.startswith("promote")]


def test_a_store_is_pulled_to_be_verified(tmp_path: Path) -> None:
    code, commands = run(files_of("store")["kubernetes/export/export.sh"], tmp_path)
    assert (code, commands) == (
        0,
        [
            "export s3://bucket/models --config /etc/job.yaml --json",
            "pull s3://bucket/models /models",
            "verify /models/a b/3",
            "verify /models/other/1",
            "promote s3://bucket/models/a b 3 --label canary",
            "promote s3://bucket/models/other 1 --label canary",
        ],
    )


@pytest.mark.full
@pytest.mark.end_to_end
def test_a_real_export_is_verified_and_served_by_its_label(tmp_path: Path) -> None:
    """The real command line, on the demo's smallest buckets."""
    model = {"model": "demo:stories", "max_new_tokens": 4, "prompt_lengths": [16], "batch_sizes": [1]}
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    out = tmp_path / "models"
    chosen = options(
        ("kubernetes",),
        model_root=str(out),
        kubernetes={"genserve_image": IMAGE, "export": {"job": {"models": [model]}, "label": "canary"}},
    )
    files = render([manifest()], chosen)
    (tmp_path / "job.yaml").write_text(files["kubernetes/export/job.yaml"])
    script = re.sub("([<>])/tmp/", rf"\1{tmp_path}/", files["kubernetes/export/export.sh"])
    (tmp_path / "export.sh").write_text(script)
    genserve = tmp_path / "bin" / "genserve"
    genserve.parent.mkdir()
    genserve.write_text(f'#!/bin/sh\nexec {sys.executable} -m exporter "$@"\n')
    genserve.chmod(0o755)
    path = f"{genserve.parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["sh", tmp_path / "export.sh", tmp_path / "job.yaml"],
        env=os.environ | {"PATH": path, "LABEL": "canary", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    exported = Manifest.read(out / "stories" / "1")
    assert (exported.name, exported.max_new_tokens, exported.buckets.batch_sizes) == ("stories", 4, (1,))
    text = (out / "serving" / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config[0]
    assert (config.name, dict(config.version_labels)) == ("stories", {"canary": 1})
    assert config.model_version_policy.specific.versions == [1]


def test_the_job_file_is_the_given_one() -> None:
    text = files_of("everything")["kubernetes/export/job.yaml"]
    assert yaml.safe_load(text) == JOB | {"output": "/models"}
    assert yaml.safe_load(files_of("store")["kubernetes/export/job.yaml"])["output"] == "s3://bucket/models"


def test_a_schedule_makes_it_a_cron_job() -> None:
    cron = one(objects_of("everything", "kubernetes/export"), "CronJob", "export")["spec"]
    assert (cron["schedule"], cron["concurrencyPolicy"]) == ("0 3 * * sun", "Forbid")
    job = one(objects_of("store", "kubernetes/export"), "Job", "export")["spec"]
    assert job["backoffLimit"] == cron["jobTemplate"]["spec"]["backoffLimit"] == 0
    volumes = cron["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models"}} in volumes


def test_memory_is_what_exports_took() -> None:
    """8 GB measured, and a quarter more; else three copies of the weights and 4 GiB; or as chosen."""

    def memory(item: dict[str, object]) -> str:
        text = json.dumps(item)
        return text.split('"limits": {"memory": "')[1].split('"')[0]

    measured = one(objects_of("everything", "kubernetes/export"), "CronJob", "export")
    assert memory(measured) == f"{-(-8_000_000_000 * 5 // 4 // 2**20)}Mi"
    assert memory(one(objects_of("store", "kubernetes/export"), "Job", "export")) == f"{12 * 1024}Mi"
    files = render([manifest()], options(kubernetes={"genserve_image": IMAGE, "export": {"job": JOB}}))
    assert f"memory: {-(-(3 * 4_000_000 + 4 * 2**30) // 2**20)}Mi" in files["kubernetes/export/export.yaml"]
