"""The one error tree of fsearch. Each message is one line: what is wrong, where, and what to do.

FsearchError
├── BadInputError         a file, argument or query of the user's cannot be used
├── NotReadyError         an earlier step has not been taken (index before fit, fit before query)
├── EncoderError     an encoder cannot be loaded, or is not the workspace's own
└── WorkspaceError   a workspace is locked, damaged, or made by a newer version
"""

from collections.abc import Iterable


class FsearchError(Exception):
    """Base of every error that fsearch raises on purpose. Its message is one line, whatever a file's own words hold."""

    def __init__(self, message: str) -> None:
        super().__init__("\\n".join(message.splitlines()))


class BadInputError(FsearchError):
    """A file, argument or query of the user's cannot be used."""


class NotReadyError(FsearchError):
    """An earlier step has not been taken."""


class EncoderError(FsearchError):
    """An encoder cannot be loaded, or is not the one the workspace was made with."""


class WorkspaceError(FsearchError):
    """A workspace is locked, damaged, or made by a newer version."""


def require_one_of(what: str, given: str, known: Iterable[str]) -> None:
    """Raise BadInputError where `given` is none of the `known` names of a `what`."""
    known = list(known)
    if given not in known:
        raise BadInputError(f"unknown {what} {given!r}; use one of: {', '.join(known)}")
