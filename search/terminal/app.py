"""Print results: for people on a terminal, whole lines into a pipe, JSON for programs. Only cli.py calls this."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
import typer.core

from fsearch.indexer.errors import BadInputError, FsearchError
from fsearch.search.terminal.printable import say

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOST_SQL = 2**20  # bytes of a statement on standard input
COULD_NOT_RUN = 3  # of `fsearch gate`, apart from its outcomes 0, 1 and 2
_stopped_by: list[int] = [signal.SIGINT]
_AGAIN = 2.0  # seconds until Ctrl-C is raised again


_UsageError: Any = typer.BadParameter.__mro__[1]  # base of all that is wrong with arguments; Typer exports no name

_ANSWERED = (typer.Exit, typer.Abort, FsearchError, OSError, MemoryError, UnicodeEncodeError, _UsageError)


class Commands(typer.core.TyperGroup):
    """Every command ends alike: wrong input in one line and exit code 2, Ctrl-C in one line and 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            with one_line(2), _insistent():
                return super().invoke(ctx)
        except BrokenPipeError:  # whoever read our output has seen enough
            nobody_reads()
            raise typer.Exit from None
        except KeyboardInterrupt:
            say("fsearch: stopped; what was committed is kept, run the same command to continue", err=True)
            raise typer.Exit(128 + _stopped_by[-1]) from None


class Gate(typer.core.TyperCommand):
    """A command whose exit code is an answer: what keeps it from one, a bug too, ends in COULD_NOT_RUN."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the arguments."""
        with one_line(COULD_NOT_RUN):
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with one_line(COULD_NOT_RUN):
            try:
                return super().invoke(ctx)
            except _ANSWERED:
                raise
            except Exception as error:  # with Python's own exit code, 1, a bug would say that the gate fails
                traceback.print_exc()
                raise typer.Exit(COULD_NOT_RUN) from error


@contextmanager
def one_line(code: int) -> Iterator[None]:
    """Say what went wrong in one line on standard error, and exit with `code`."""
    try:
        yield
    except FsearchError as error:
        say(f"fsearch: {error}", err=True)
        raise typer.Exit(code) from None
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "fsearch"
        say(f"fsearch: {error.format_message()} (help: {command} --help)", err=True)
        raise typer.Exit(code) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        say(f"fsearch: {error.filename or 'system'}: {error.strerror or error}", err=True)
        raise typer.Exit(code) from None
    except UnicodeEncodeError as error:  # words of a command line that is in another encoding than UTF-8
        say(f"fsearch: {error.object!r} is no UTF-8", err=True)
        raise typer.Exit(code) from None
    except MemoryError:
        say("fsearch: out of memory; what was committed is kept", err=True)
        raise typer.Exit(code) from None


def nobody_reads() -> None:
    """What is still to be printed goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _insistent() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP be heard: should an engine's callback swallow one, it is raised again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _: Any) -> None:
        if number != signal.SIGALRM:
            _stopped_by.append(number)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        raise KeyboardInterrupt

    heard = [s for s in _STOPS if signal.getsignal(s) is not signal.SIG_IGN]  # nohup lets a program ignore SIGHUP
    before = {number: signal.signal(number, interrupt) for number in (*heard, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(end: SystemExit) -> None:
    """End the program as `end` says; at once, where a statement that did not stop would be waited for."""
    statement = sys.modules.get("fsearch.indexer.storage.statement")
    if statement is not None and statement.abandoned:
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    raise end


def read_stdin() -> str:
    """A statement from standard input. Raises BadInputError where it is closed, no UTF-8, or too long for one."""
    if sys.stdin is None:
        raise BadInputError("standard input is closed; give a statement")
    data = sys.stdin.buffer.read(_MOST_SQL + 1)
    if len(data) > _MOST_SQL:
        raise BadInputError(f"standard input holds more than {_MOST_SQL:,} bytes; give one statement")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"standard input is no UTF-8: {error.reason} at byte {error.start}") from error


def called_as() -> str:
    """How the user called this program, for commands to copy."""
    import shutil

    found = shutil.which("fsearch")
    called = Path(sys.argv[0])
    if called.name != "fsearch" or not called.exists() or (found and Path(found).samefile(called)):
        return "fsearch"
    return os.path.relpath(called)


def console() -> Any:
    """The place tables go: as wide as the terminal, unbounded in a pipe."""
    from rich.console import Console

    from fsearch.search.terminal.render import UNBOUNDED

    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=UNBOUNDED)


def print_json(value: object) -> None:
    """One JSON document."""
    typer.echo(json.dumps(value, indent=1).replace("\x7f", "\\u007f"))  # all others JSON escapes itself


def print_ranking(ranking: Any, explain: bool = False, truths: Mapping[str, float] | None = None) -> None:
    """A ranking as a table, what its worst failure hides, its notes and, if asked, what went into each verdict."""
    from fsearch.search.answer import heading
    from fsearch.search.terminal.explain import explanation
    from fsearch.search.terminal.render import ranking_table

    terminal = console()
    terminal.print(ranking_table(ranking.answers, terminal.width, truths=truths))
    if ranking.hidden:
        say(heading(ranking.hidden))
        rows = [replace(a, within=None) for a in ranking.hidden]  # which the line above says
        terminal.print(ranking_table(rows, terminal.width, len(ranking.answers) + 1))
    for note in ranking.notes:
        say(f"note: {note}")
    if explain:
        every = (*ranking.answers, *ranking.hidden)
        say("\n" + "\n\n".join(explanation(answer, ranking.correction) for answer in every))


def print_fitting(rows: Any, left_out_first: Sequence[str]) -> None:
    """Rows as a table that fits: on a narrow terminal, some columns are left out."""
    from fsearch.search.terminal.render import fitting_rows, sql_table

    terminal = console()
    terminal.print(sql_table(fitting_rows(rows, terminal.width, left_out_first)))


def print_rows(rows: Any, kind: str) -> None:
    """Rows of SQL as a table, or as bytes of csv, json or parquet."""
    from fsearch.search.export import table_bytes
    from fsearch.search.terminal.render import sql_table

    if kind == "table":
        console().print(sql_table(rows))
        return
    if kind == "parquet" and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is no text; send it to a file: … --format parquet > rows.parquet")
    data = table_bytes(rows, kind)
    if sys.stdout.isatty():
        return say(data.decode())
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
