"""The export's script, run with a genserve that writes down what it is asked for; and its object."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import yaml

from serving_configs import render
from tests.serving_configs.kubernetes.deployments import IMAGE, JOB, files_of, objects_of, one, options
from tests.serving_configs.manifests import manifest

GENSERVE = """#!/bin/sh
echo "$@" >>"$LOG"
if [ "$1" = export ]; then
  printf '{"version_directory": "%s/a b/3"}\\n{"version_directory": "%s/other/1"}\\n' "$2" "$2"
elif [ "$1" = "$FAILS" ]; then
  exit 6
fi
"""


def run(script: str, folder: Path, fails: str = "") -> tuple[int, list[str]]:
    """Exit code, and the commands."""
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
    return result.returncode, log.read_text().splitlines()


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
