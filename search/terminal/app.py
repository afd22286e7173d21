"""Print results: for people on a terminal, whole lines into a pipe, JSON for programs. Only cli.py calls this."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
import typer.core

from fsearch.indexer.errors import FsearchError

_AGAIN = 2.0  # seconds until Ctrl-C is raised again


_UsageError: Any = typer.BadParameter.__mro__[1]  # base of all that is wrong with arguments; Typer exports no name


class Commands(typer.core.TyperGroup):
    """Every command ends alike: wrong input in one line and exit code 2, Ctrl-C in one line and 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            with _insistent():
                return super().invoke(ctx)
        except FsearchError as error:
            typer.echo(f"fsearch: {error}", err=True)
            raise typer.Exit(2) from None
        except _UsageError as error:
            command = error.ctx.command_path if error.ctx else "fsearch"
            typer.echo(f"fsearch: {error.format_message()} (help: {command} --help)", err=True)
            raise typer.Exit(2) from None
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None
        except OSError as error:
            typer.echo(f"fsearch: {error.filename or 'system'}: {error.strerror or error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("fsearch: stopped; what was committed is kept, run the same command to continue", err=True)
            raise typer.Exit(130) from None


@contextmanager
def _insistent() -> Iterator[None]:
    """Let Ctrl-C be heard: should a destructor or an engine's callback swallow it, it is raised again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


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
    typer.echo(json.dumps(value, indent=1))


def print_ranking(ranking: Any, explain: bool = False) -> None:
    """A ranking as a table, then its notes and, if asked, what went into each verdict."""
    from fsearch.search.terminal.explain import explanation
    from fsearch.search.terminal.render import ranking_table

    terminal = console()
    terminal.print(ranking_table(ranking, terminal.width))
    for note in ranking.notes:
        typer.echo(f"note: {note}")
    if explain:
        typer.echo("\n" + "\n\n".join(explanation(answer, ranking.correction) for answer in ranking.answers))


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
    sys.stdout.buffer.write(table_bytes(rows, kind))
    sys.stdout.flush()
