"""fsearch: a failure search engine for vision models.

>>> import fsearch
>>> ws = fsearch.open(".fsearch")
>>> print(ws.query("dark skin tone")["dark skin tone"].verdict)
fails
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from fsearch.indexer.errors import BadInputError, EncoderError, FsearchError, NotReadyError, WorkspaceError

if TYPE_CHECKING:
    from fsearch.indexer.sources.resolve import Images
    from fsearch.search.workspace import Workspace

__version__ = "0.1.0"
__all__ = [
    "BadInputError",
    "EncoderError",
    "FsearchError",
    "NotReadyError",
    "WorkspaceError",
    "__version__",
    "images",
    "open",
]


_FORMER = {"BadInput": "BadInputError", "NotReady": "NotReadyError"}  # names of version 0.1, for one version


def __getattr__(name: str) -> Any:
    """The errors under their names of version 0.1."""
    if name in _FORMER:
        warnings.warn(f"fsearch.{name} is now fsearch.{_FORMER[name]}", DeprecationWarning, stacklevel=2)
        return globals()[_FORMER[name]]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open(workspace: str | os.PathLike[str] = ".fsearch", encoder: Any = None) -> Workspace:
    """The workspace in a folder; `index` makes it where it is not there yet.

    `encoder` names its encoder again where that is code of your own, as `module:attribute` or the object itself: a name
    that a workspace stores runs no code.

    Examples
    --------
    >>> ws = fsearch.open(".fsearch")
    >>> ws
    fsearch.open('.fsearch')
    >>> [known.model for known in ws.info().models]
    ['planted']
    """
    from fsearch.search.workspace import Workspace

    return Workspace(workspace, encoder)


def images(held: Any, **options: Any) -> Images:
    """The images of a data set, or a part of them, for `Workspace.index`; nothing is read yet.

    `held` is a path, a pattern of shards, `module:object`, a torch `Dataset`, or a list or dictionary of images. The
    options are those of `fsearch.indexer.sources.resolve.open_images`: kind, image_column, root, allow_outside,
    allow_private_hosts, where, sample, seed, limit, name.
    """
    from fsearch.indexer.sources.resolve import open_images

    return open_images(held, **options)
