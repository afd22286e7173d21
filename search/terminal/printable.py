"""Text of others on its way to a terminal: control characters are shown, not obeyed.

Keys, labels, phrases and reasons come from files and workspaces of others. An escape sequence in them could change
colours, titles or the clipboard, move the cursor, or hide what was printed. `say` and `printable` are the only way out.
"""

from __future__ import annotations

import logging
import re
import sys

import typer

# C0 but for tab and newline, DEL, C1; marks that turn the direction of text or hide it; what cannot be encoded
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def printable(text: object) -> str:
    """`text` with each control character as its escape, a backslash and its number."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def say(text: object, *, err: bool = False) -> None:
    """Print a line, or several, to standard output, or to standard error."""
    typer.echo(printable(text), err=err)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def prepare_streams() -> None:
    """Let nothing that is printed end in a traceback or reach a terminal raw. Call once, when the program starts.

    What a terminal cannot encode is printed as its escape; warnings of fsearch's and of libraries pass `printable`.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
