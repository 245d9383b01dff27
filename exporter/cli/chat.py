"""``genserve chat``: a chat with a served model, in the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporter.cli.front import Ca, Grpc, OpenAi, Retries, Token, TokenFile, Url
from exporter.cli.manifests import read_manifest
from exporter.errors import GenserveError, OptionError, ServingError, did_you_mean

if TYPE_CHECKING:
    from rich.console import Console

    from exporter.cli.chat_session import ChatSession
    from exporter.cli.openai_session import OpenAiSession

_HELP = """\
/system [TEXT]        show, set or (with "-") drop the system message
/option [NAME=VALUE]  show or set an option of the answers, or a variable of the template
/history              show the chat
/reset                forget the chat, but not the system message
/save FILE            write the chat as JSON: a list of messages
/help                 this
/quit                 leave, as the end of the input does"""


def chat(
    version: Annotated[
        str | None,
        typer.Argument(
            help="The exported version, whose manifest holds the chat template: its directory, or the "
            "manifest itself (assets.extra/genserve.json), as a file or an http(s) address.",
            metavar="OUT/NAME/VERSION",
        ),
    ] = None,
    url: Url = None,
    grpc: Grpc = None,
    openai: OpenAi = None,
    model: Annotated[
        str | None, typer.Option(help="Servable name; default: the manifest's. --openai needs it.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Ask the version that has this label instead of that number.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="The system message.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="As /option: KEY=VALUE; repeatable."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for a piece of an answer.", min=0.001)
    ] = 120.0,
    retries: Retries = 3,
    token: Token = None,
    token_file: TokenFile = None,
    ca: Ca = None,
) -> None:
    """Chat with a served model. Lines of a pipe are messages, too; exits 7 then if one had no answer."""
    from rich.console import Console

    from exporter.cli.values import alone, assignments
    from exporter.client.address import read_token

    alone("--openai", openai, {"OUT/NAME/VERSION": version, "--url": url, "--grpc": grpc, "--label": label})
    limits = {"token": read_token(token, token_file), "ca": ca, "timeout": timeout, "retries": retries}
    if openai is not None:
        opened: AbstractContextManager[ChatSession | OpenAiSession] = _openai(openai, model, limits)
    else:
        opened = _served(version, url, grpc, model, label, limits)
    with opened as session:
        session.system = system or ""
        for name, value in (assignments("option", option) or {}).items():
            session.set(name, value)
        terminal = Terminal(session, Console(highlight=False, soft_wrap=True))
        terminal.run()
    if terminal.failed and not sys.stdin.isatty():
        raise typer.Exit(ServingError.exit_code)


@contextmanager
def _openai(url: str, model: str | None, limits: dict[str, Any]) -> Iterator[OpenAiSession]:
    from exporter.cli.openai_session import OpenAiSession
    from exporter.client.openai_api import OpenAiClient

    if model is None:
        raise OptionError("--openai needs --model NAME; GET URL/v1/models lists them")
    with OpenAiClient(url, model, **limits) as client:
        yield OpenAiSession(client)


@contextmanager
def _served(
    version: str | None,
    url: str | None,
    grpc: str | None,
    model: str | None,
    label: str | None,
    limits: dict[str, Any],
) -> Iterator[ChatSession]:
    from exporter.cli.chat_session import ChatSession
    from exporter.cli.values import endpoint
    from exporter.client.blocking import Client

    if version is None:
        raise OptionError("give the exported version, OUT/NAME/VERSION, or --openai URL")
    manifest = read_manifest(version)
    number = None if label is not None else manifest.version
    place = endpoint(url, grpc, limits["ca"])
    with Client(place, model or manifest.name, version=number, label=label, **limits) as client:
        yield ChatSession(client, manifest)


class Terminal:
    """Reads lines, and prints answers as they come; thinking is dim.

    Attributes:
      failed: whether a line had no answer, or was a command that cannot be.
    """

    def __init__(self, session: ChatSession | OpenAiSession, console: Console) -> None:
        self._session, self._console, self.failed = session, console, False

    def run(self) -> None:
        """Until the input ends or ``/quit``."""
        interactive = sys.stdin.isatty()
        if interactive:
            import readline  # noqa: F401  # gives input() its history and its arrow keys

            self._say("/help shows what else there is; Ctrl-C ends an answer, Ctrl-D leaves")
        while (line := _line(interactive)) is not None:
            if not line.strip():
                continue
            try:
                if line.startswith("/"):
                    if not self._command(line[1:]):
                        return
                else:
                    self._answer(line)
            except GenserveError as error:
                self.failed = True
                print(f"error: {error}", file=sys.stderr, flush=True)
            except KeyboardInterrupt:
                self._console.print()
                if not interactive:
                    raise
                self._say("(ended; this message and its answer are forgotten)")

    def _answer(self, text: str) -> None:
        for piece, thinking in self._session.answer(text):
            if self._console.is_terminal:
                self._console.print(piece, end="", markup=False, style="dim" if thinking else None)
            else:
                print(piece, end="", flush=True)  # as it is: the console would expand tabs
        print(flush=True)

    def _command(self, line: str) -> bool:
        """Does it; whether the chat goes on."""
        name, _, rest = line.partition(" ")
        commands: dict[str, Callable[[str], Any]] = {
            "system": self._system,
            "option": self._option,
            "history": lambda _: self._history(),
            "reset": lambda _: self._session.reset(),
            "save": self._save,
            "help": lambda _: self._say(_HELP),
            "quit": lambda _: None,
        }
        if name not in commands:
            raise OptionError(
                f"/{name} is no command{did_you_mean(name, commands)}; there are "
                f"{', '.join(f'/{known}' for known in commands)}"
            )
        commands[name](rest.strip())
        return name != "quit"

    def _system(self, text: str) -> None:
        if not text:
            self._say(self._session.system or "(no system message)")
        else:
            self._session.system = "" if text == "-" else text

    def _option(self, pair: str) -> None:
        from exporter.cli.values import assignments

        for name, value in (assignments("option", [pair] if pair else None) or {}).items():
            self._session.set(name, value)
        if not pair:
            shown = self._session.options | self._session.variables
            self._say("\n".join(f"{name}={json.dumps(value)}" for name, value in shown.items()))

    def _history(self) -> None:
        for message in self._session.messages:
            self._say(f"{message['role']}: {message['content']}")

    def _save(self, file: str) -> None:
        if not file:
            raise OptionError("/save needs a file's name")
        text = json.dumps(self._session.messages, ensure_ascii=False, indent=2) + "\n"
        try:
            Path(file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise OptionError(f"/save: {file} cannot be written: {error}") from error

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)


def _line(interactive: bool) -> str | None:
    """The next line, without its end; None at the end of the input. Ctrl-C drops what was typed."""
    while True:
        try:
            return input("> " if interactive else "")
        except EOFError:
            return None
        except UnicodeDecodeError as error:
            raise OptionError(f"the input is not UTF-8: {error}") from error
        except KeyboardInterrupt:
            if not interactive:
                raise
            print()
