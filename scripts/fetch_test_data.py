#!/usr/bin/env python3
"""Downloads the published tokenizers and texts that tests read, for GENSERVE_TEST_DATA.

Files come from the Hugging Face hub (HF_ENDPOINT, HF_TOKEN and `hf auth login` hold) and from GitHub; what
each must be is said by scripts/test_data/table.yaml. A file that is there is not fetched again, one that
broke off goes on, and nothing is kept that is not the published file.

Exit code: 0 all is there, 1 something is missing, 2 wrong arguments, 3 only gated repositories are missing.
"""

from __future__ import annotations

import argparse
import difflib
import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from test_data.table import TABLE, Entry, FetchError, HubFile, read_table

MISSING, GATED, INTERRUPTED = 1, 3, 130
MEGA = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", metavar="DIR", type=Path, nargs="?", help="the folder to fill")
    parser.add_argument("--only", metavar="NAME", action="append", help="this folder alone (may be repeated)")
    parser.add_argument("--list", action="store_true", help="show what there is and where it comes from")
    parser.add_argument("--table", type=Path, default=TABLE, help="another table (default: %(default)s)")
    arguments = parser.parse_args()
    if not arguments.list and arguments.directory is None:
        parser.error("DIR is missing: the folder to fill")
    try:
        entries = read_table(arguments.table)
        folders = list(dict.fromkeys(entry.folder for entry in entries))
        for name in arguments.only or ():
            if name not in folders:
                parser.error(_unknown(name, folders))
        entries = [entry for entry in entries if entry.folder in (arguments.only or folders)]
        return show(entries) if arguments.list else fetch(arguments.directory.absolute(), entries)
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or arguments.directory}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    return MISSING


def _unknown(name: str, folders: list[str]) -> str:
    close = difflib.get_close_matches(name, folders, 1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f"--only {name}: no such folder{meant}; there are {', '.join(folders)}"


def show(entries: list[Entry]) -> int:
    """A line for each file: name, size, source."""
    for entry in entries:
        source = entry.source
        if isinstance(source, HubFile):
            where = f"{source.repo} {source.path} at {source.revision or 'the newest commit that holds it'}"
        else:
            where = source.url
        print(f"{entry.target:<56} {entry.size / MEGA:6.2f} MB  {where}")
    return 0


def fetch(directory: Path, entries: list[Entry]) -> int:
    """Fetches what is not there, and says how it went."""
    from test_data.fetcher import Fetcher
    from test_data.hub import GatedError

    directory.mkdir(parents=True, exist_ok=True)
    missing = [entry for entry in entries if not entry.is_at(directory / entry.target)]
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(file=sys.stdout), transient=True) as progress:
        fetcher = Fetcher(directory, progress)
        fetcher.run(missing)
    if not fetcher.failed:
        shutil.rmtree(directory / ".partial", ignore_errors=True)
    summarize(fetcher.fetched, len(entries) - len(missing), fetcher.failed)
    print(f"export GENSERVE_TEST_DATA={shlex.quote(str(directory))}")
    if not fetcher.failed:
        return 0
    return GATED if all(isinstance(error, GatedError) for error in fetcher.failed.values()) else MISSING


def summarize(fetched: list[Entry], present: int, failed: dict[Entry, FetchError]) -> None:
    """What was fetched, what was there, and what is missing for which reason."""
    size = sum(entry.size for entry in fetched) / MEGA
    print(f"{len(fetched)} fetched ({size:.1f} MB), {present} already there, {len(failed)} missing")
    for reason in dict.fromkeys(map(str, failed.values())):
        print(f"missing: {reason}")
        files: dict[str, list[str]] = {}
        for entry in (entry for entry, error in failed.items() if str(error) == reason):
            folder, _, name = entry.target.rpartition("/")
            files.setdefault(folder, []).append(name)
        for folder, names in files.items():
            print(f"    {folder}: {', '.join(names)}")


if __name__ == "__main__":
    raise SystemExit(main())
