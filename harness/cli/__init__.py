"""The command `xstilts`: a group whose commands are imported only when they run."""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from harness import __version__
from harness.cli.group import LazyGroup, Session
from harness.errors import InputErrors, XstiltsError
from harness.huge_pages import ask_for_huge_pages

__all__ = ["cli", "main", "stop_code"]

_FAILED, _WRONG_USAGE = 1, 2
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="xstilts", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.pass_obj
def cli(session: Session, debug: bool) -> None:
    """Multi-source intermediate-task training with adapters, measured zero-shot.

    Knowledge of each source task is trained once as an adapter on a frozen XLM-R; recipes compose
    adapters for each XTREME target; every number is a record with a signature.
    """
    session.debug = debug


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `xstilts` and exit: 0 done, 1 the work failed, 2 wrong usage or invalid input.

    Ctrl-C and SIGTERM stop it the same way, with exit code 130 and 143.
    """
    session = Session()
    ask_for_huge_pages()
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="xstilts",
            standalone_mode=False,
            obj=session,
        )
    except (click.Abort, KeyboardInterrupt) as stop:
        click.echo("xstilts: interrupted; the same command again continues from there", err=True)
        sys.exit(stop_code(stop))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(_WRONG_USAGE)
    except Exception as error:  # the last place where an error can become a line
        if session.debug:
            traceback.print_exc()
        message, code = _explain(error)
        for line in message.split("\n"):
            click.echo(f"xstilts: error: {line}", err=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    sys.exit(code if isinstance(code, int) else 0)


def stop_code(stop: BaseException) -> int:
    """The exit code of a command that a signal stopped: 128 + its number, as shells have it."""
    for error in (stop, stop.__cause__):  # Click wraps a KeyboardInterrupt in its Abort
        if isinstance(error, KeyboardInterrupt) and error.args:
            return 128 + int(error.args[0])
    return 128 + signal.SIGINT


def _interrupt(number: int, _: object) -> NoReturn:
    raise KeyboardInterrupt(number)


def _explain(error: Exception) -> tuple[str, int]:
    """A line for people (for each of several errors), and the exit code."""
    if isinstance(error, InputErrors):
        return "\n".join(map(_one_line, error.lines)), error.exit_code
    if isinstance(error, XstiltsError):
        return _one_line(str(error)), error.exit_code
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "xstilts"
        return f"{_one_line(error.format_message())} (see {command} --help)", _WRONG_USAGE
    if isinstance(error, click.ClickException):
        return _one_line(error.format_message()), error.exit_code
    # safetensors reports a full disk as an error of its own kind.
    if getattr(error, "errno", None) in _NO_SPACE or "No space left on device" in str(error):
        return f"{_place(error)}the disk is full; free some or choose another --out", _FAILED
    if isinstance(error, OSError) and error.errno in _NOT_ALLOWED:
        reason = (error.strerror or str(error)).lower()
        return f"{_place(error)}{reason}; choose a folder you may write to with --out", _FAILED
    if isinstance(error, OSError) and error.strerror:
        return f"{_place(error)}{error.strerror.lower()}", _FAILED
    return (
        f"unexpected {type(error).__name__}{_raised_at(error)}: {_one_line(str(error))}"
        " (xstilts --debug COMMAND shows the traceback)",
        _FAILED,
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _place(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f"{name}: " if name else ""


def _raised_at(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
