"""What other tools take straight from Python. `Workspace` has these; files for them are written by `fsearch export`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsearch.search.options import Progress

if TYPE_CHECKING:
    from fsearch.search.session import Session


class Exports:
    """The part of `Workspace` that hands images on."""

    root: Path
    _session: Session

    def to_fiftyone(
        self,
        model: str | None = None,
        *,
        selection: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """The images with a loss of `model` (the only one by default) as a `fiftyone.Dataset`, with loss and columns.

        With `selection`, only the images of the stored selection of that name. Images that are files stay where they
        are. `folder` is a new one for all others, which FiftyOne then reads from.
        Raises NotReadyError where FiftyOne is not installed.
        """
        from fsearch.search.formats.fiftyone import to_fiftyone
        from fsearch.search.formats.target import Wanted

        store = self._session.store(self.root)
        wanted = Wanted(store.only_model(model), selection)
        return to_fiftyone(store, wanted, None if folder is None else Path(folder), progress)
