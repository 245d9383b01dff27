"""Publishing a version: all of it or nothing, one number for one export, and nothing left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from exporter.errors import OutputError
from exporter.publishing import choose_version, owners, staged_version
from tests.conftest import ROOT


def names(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir())


def write(staged: Path, text: str = "graph") -> None:
    (staged / "saved_model.pb").write_text(text)


def published(servable: Path, version: int | None = None, text: str = "graph", *, force: bool = False) -> int:
    with staged_version(servable, version, force=force) as staged:
        write(staged.path, text)
    return staged.version


def test_versions_are_chosen_and_refused(tmp_path: Path) -> None:
    servable = tmp_path / "m"
    assert choose_version(servable, None, force=False) == 1
    for name in ("2", "010", "not-a-version", "٣", "99999999999999999999", "-4", "½"):
        (servable / name).mkdir(parents=True)
    assert choose_version(servable, None, force=False) == 11
    assert choose_version(servable, 3, force=False) == 3
    assert choose_version(servable, 10, force=True) == 10
    with pytest.raises(OutputError, match=r"version 10 exists.*--force.*next free: 11"):
        choose_version(servable, 10, force=False)


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def export(servable: Path) -> None:
        with staged_version(servable) as staged:
            write(staged.path)
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        export(tmp_path / "out" / "m")
    assert names(tmp_path) == []
    published(tmp_path / "out" / "m")
    with pytest.raises(ValueError, match="boom"):
        export(tmp_path / "out" / "m")
    assert names(tmp_path / "out" / "m") == ["1"]


def test_replacing_keeps_the_old_version_until_the_new_one_is_whole(tmp_path: Path) -> None:
    servable = tmp_path / "m"
    published(servable, 1, "old")
    with staged_version(servable, 1, force=True) as staged:
        write(staged.path, "new")
        assert (servable / "1" / "saved_model.pb").read_text() == "old"
        assert [name for name in names(servable) if name.isdecimal()] == ["1"]
    assert (servable / "1" / "saved_model.pb").read_text() == "new"
    assert names(servable) == ["1"]


def test_exports_at_once_get_numbers_of_their_own(tmp_path: Path) -> None:
    servable = tmp_path / "m"
    barrier = threading.Barrier(8, timeout=60)

    def export() -> int:
        with staged_version(servable) as staged:
            barrier.wait()  # all of them hold a number
            write(staged.path, str(staged.version))
        return staged.version

    with ThreadPoolExecutor(8) as pool:
        started = [pool.submit(export) for _ in range(8)]
    assert sorted(export.result() for export in started) == list(range(1, 9))
    assert {name: (servable / name / "saved_model.pb").read_text() for name in names(servable)} == {
        str(number): str(number) for number in range(1, 9)
    }


def test_a_folder_that_another_export_makes_between_two_looks_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servable = tmp_path / "m"
    look = Path.stat

    def made_after_the_look(path: Path, **options: bool) -> os.stat_result:
        try:
            return look(path, **options)
        finally:
            if not os.path.isdir(servable):  # noqa: PTH112 - Path's own look is the one replaced
                os.mkdir(servable)  # noqa: PTH102

    monkeypatch.setattr(Path, "stat", made_after_the_look)
    assert choose_version(servable, None, force=False) == 1


def test_a_number_that_is_being_exported_is_refused_at_once(tmp_path: Path) -> None:
    servable = tmp_path / "m"
    with ExitStack() as stack:
        first = stack.enter_context(staged_version(servable, 4))
        expected = rf"version 4 of .* is being exported by process {os.getpid()} of host .*another --version"
        for force in (False, True):
            with pytest.raises(OutputError, match=expected), staged_version(servable, 4, force=force):
                pass
        assert choose_version(servable, None, force=False) == 5
        write(first.path)
    assert names(servable) == ["4"]


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file"])
def test_a_version_that_another_tool_writes_meanwhile_is_not_replaced(tmp_path: Path, kind: str) -> None:
    servable = tmp_path / "m"

    def export() -> None:
        with staged_version(servable) as staged:
            write(staged.path)
            (servable / "1").write_text("theirs") if kind == "file" else (servable / "1").mkdir()
            if kind == "folder":
                (servable / "1" / "theirs").write_text("theirs")

    with pytest.raises(OutputError, match="version 1 has appeared"):
        export()
    assert names(servable) == ["1"]
    assert not (servable / "1" / "saved_model.pb").exists()


@pytest.mark.parametrize(
    "arguments", [["boundaries"], ["boundaries", "force"], ["moments"], ["moments", "force"]]
)
def test_killed_at_any_moment(arguments: list[str]) -> None:
    """Before every change of the file system, and at twenty random moments: see ``killed``."""
    memory = Path("/dev/shm")  # where forcing a file to disk costs no time
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        result = subprocess.run(
            [sys.executable, "-m", "tests.publishing.killed", folder, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    kills = result.stdout.count("killed True")
    assert kills >= (15 if arguments[0] == "boundaries" else 5)
    if arguments == ["boundaries", "force"]:
        # Some kill fell between the two renames, and the old version came back.
        assert "killed True: left {}, then {'1': 'old'" in result.stdout.replace("'2': 'next', ", "")
        assert "left {'1': 'new'}" in result.stdout


def elsewhere(monkeypatch: pytest.MonkeyPatch, host: str, place: str = "0123abcd") -> None:
    """From now on this process runs on another host."""
    monkeypatch.setattr(owners, "host", lambda: host)
    monkeypatch.setattr(owners, "place", lambda: place)


@pytest.mark.parametrize(("host", "place"), [("other", "0123abcd"), ("", "0123abcd"), ("", "unknown")])
def test_another_hosts_export_is_left_alone_while_it_shows_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, place: str
) -> None:
    """Another host; another machine or container of the same name; one that cannot say where it runs."""
    servable = tmp_path / "m"
    here = owners.host()
    with staged_version(servable) as staged:
        write(staged.path)
        elsewhere(monkeypatch, host or here, place)
        # On the other host no process has this pid and start time, which must not matter.
        monkeypatch.setattr(owners, "start_time", lambda pid: 7)
        assert published(servable) == 2
        assert staged.path.exists()
    assert names(servable) == ["1", "2"]


def test_another_hosts_silent_export_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servable = tmp_path / "m"

    def export() -> None:
        with staged_version(servable) as staged:
            write(staged.path)
            elsewhere(monkeypatch, "other")
            reservation = staged.path.parent
            silent = reservation.stat().st_mtime - owners.GONE_SECONDS - 1
            os.utime(reservation, (silent, silent))
            assert published(servable) == 1

    with pytest.raises(OutputError, match="another export took it for abandoned"):
        export()
    assert names(servable) == ["1"]


def test_a_running_export_shows_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "HEARTBEAT_SECONDS", 0.01)
    with staged_version(tmp_path / "m") as staged:
        os.utime(staged.path.parent, (0, 0))
        waited = threading.Event()
        for _ in range(500):
            if staged.path.parent.stat().st_mtime > 0:
                break
            waited.wait(0.01)
        assert staged.path.parent.stat().st_mtime > 0


def test_a_process_id_that_is_used_again_counts_as_gone() -> None:
    mine = owners.own()
    assert not mine.gone(silent_seconds=float("inf"))
    again = owners.Owner.parse(mine.name.replace(f"-{mine.start}-", f"-{mine.start - 1}-"))
    assert again is not None
    assert again.gone(silent_seconds=0)
    assert owners.Owner.parse(mine.name) == mine


def test_a_version_moved_aside_by_a_killed_replacement_comes_back(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    mine = owners.own()
    gone = mine.name.replace(f"-{mine.pid}-", f"-{process.pid}-")
    reservation = tmp_path / "m" / ".reserved-7"
    (reservation / gone).mkdir(parents=True)
    (reservation / "replaced-007").mkdir()
    (reservation / "replaced-007" / "f").write_text("old")
    assert published(tmp_path / "m") == 8
    assert (tmp_path / "m" / "007" / "f").read_text() == "old"
    assert names(tmp_path / "m") == ["007", "8"]


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    servable = tmp_path / "m"
    for name in (".staging-foo", ".staging-1-2-3", ".reserved-x", "notes"):
        (servable / name).mkdir(parents=True)
    (servable / ".reserved-3").mkdir()
    (servable / ".reserved-3" / "theirs").write_text("theirs")
    (servable / ".staging-file").write_text("theirs")
    before = names(servable)
    assert published(servable) == 4
    assert names(servable) == sorted([*before, "4"])


def test_outputs_that_are_no_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for output, kind in (("file", "no folder"), ("link", "a link to nothing")):
        for servable in (tmp_path / output, tmp_path / output / "m"):
            with pytest.raises(OutputError, match=f"{output} is {kind}"), staged_version(servable):
                pass
            with pytest.raises(OutputError, match=f"{output} is {kind}"):
                choose_version(servable, None, force=False)
    assert names(tmp_path) == ["file", "link"]


def test_links_in_the_output_are_followed_and_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "f").write_text("kept")
    (tmp_path / "m").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "1").symlink_to(tmp_path / "kept")
    assert published(tmp_path / "m") == 2
    published(tmp_path / "m", 1, force=True)
    assert names(tmp_path / "real") == ["1", "2"]
    assert not (tmp_path / "real" / "1").is_symlink()
    assert (tmp_path / "kept" / "f").read_text() == "kept"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def too_large(servable: Path, version: int | None = None, *, force: bool = False) -> None:
    with staged_version(servable, version, force=force) as staged:
        (staged.path / "big").write_bytes(b"x" * (2 << 20))


def test_a_full_disk_is_named_and_nothing_is_left(small_disk: Path) -> None:
    published(small_disk / "m", text="old")
    with pytest.raises(OutputError, match="m cannot be written: No space left"):
        too_large(small_disk / "m", 1, force=True)
    assert names(small_disk / "m") == ["1"]
    assert (small_disk / "m" / "1" / "saved_model.pb").read_text() == "old"
    with pytest.raises(OutputError, match="No space left"):
        too_large(small_disk / "other")
    assert names(small_disk) == ["m"]


def test_a_parent_that_cannot_be_made_is_named() -> None:
    with pytest.raises(OutputError, match="/proc/genserve-models cannot be written: No such file"):
        published(Path("/proc/genserve-models/stories"))


def test_a_file_system_that_is_read_only_is_named(small_disk: Path) -> None:
    published(small_disk / "m")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for name in ("m", "other", "new/other"):
        with pytest.raises(OutputError, match="cannot be written: Read-only file system"):
            published(small_disk / name)
    assert names(small_disk) == ["m"]
    assert names(small_disk / "m") == ["1"]


def test_a_limit_on_file_sizes_is_an_error_too(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        with pytest.raises(OutputError, match="cannot be written: File too large"):
            too_large(tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == []


def test_an_error_of_something_else_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), staged_version(tmp_path / "m"):
        (tmp_path / "checkpoint").read_text()
