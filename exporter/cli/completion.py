"""``genserve completion``: what a shell needs to complete verbs, options and their values.

Typer's own completion: the shell asks the program itself, by an environment variable, at every TAB. So what
is completed is what the verbs take, without a list that could grow old.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from exporter.choices import Shell

#: In it the shell says that it asks for completions; Typer's name for the program ``genserve``.
_VARIABLE = "_GENSERVE_COMPLETE"


def completion(shell: Annotated[Shell, typer.Argument(help="Whose script.")]) -> None:
    """Print the script that makes a shell complete genserve: source <(genserve completion bash), or for fish
    genserve completion fish | source."""
    from typer._completion_shared import get_completion_script

    print(get_completion_script(prog_name="genserve", complete_var=_VARIABLE, shell=shell))


def answer_shells() -> None:
    """Makes Typer answer the scripts' questions, where this process was started to answer one."""
    if _VARIABLE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()
