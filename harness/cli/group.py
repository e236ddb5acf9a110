"""The table of commands, and a Click group that lists them without importing their modules."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click

# Name -> what `xstilts --help` says of it. A command is `command` in the module of its name here.
COMMANDS: Mapping[str, str] = {
    "bench": "Run a suite: print the table, write the records.",
    "plan": "What a suite would run, what is done already, and what the rest costs.",
    "train": "Train one source adapter.",
    "evaluate": "Evaluate one trained model on targets.",
    "layers": "Compare layers and poolings of a retrieval target on its dev set.",
    "score": "Official metrics of prediction files in XTREME's layout.",
    "export": "Write XTREME's submission layout from a run's results.",
    "validate": "Check records against their schema.",
    "data": "List or check the data that is here (ls, check).",
    "image": "Build or check the image that bench --docker runs in.",
    "doctor": "Is this machine ready?",
}


@dataclass(slots=True)
class Session:
    """What `main` must know about the options before the command, also when a command failed."""

    debug: bool = False


class LazyGroup(click.Group):
    """Imports the module of a command when that command is looked up, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the table's order: first what a new user runs."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"harness.cli.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"harness.cli.{cmd_name}.command is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table; Click's own would import every command for its help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
