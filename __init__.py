"""fsearch: a failure search engine for vision models.

>>> import fsearch
>>> ws = fsearch.open(".fsearch")
>>> print(ws.query("dark skin tone"))  # doctest: +SKIP
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fsearch.indexer.errors import BadInput, EncoderError, FsearchError, NotReady, WorkspaceError

if TYPE_CHECKING:
    from fsearch.search.workspace import Workspace

__version__ = "0.1.0"
__all__ = ["BadInput", "EncoderError", "FsearchError", "NotReady", "WorkspaceError", "__version__", "open"]


def open(workspace: str | os.PathLike[str] = ".fsearch") -> Workspace:
    """The workspace in a folder; `index` makes it where it is not there yet."""
    from fsearch.search.workspace import Workspace

    return Workspace(workspace)
