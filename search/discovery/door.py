"""The word `discover` of a workspace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsearch.search.options import DiscoverOptions, Named, Progress
from fsearch.search.session import Session

if TYPE_CHECKING:
    from fsearch.search.discovery.result import Discovery


class Discovers:
    """What `Workspace` has to discover with."""

    root: Path
    _session: Session

    def discover(
        self,
        *,
        model: str | None = None,
        options: DiscoverOptions = DiscoverOptions(),
        encoder: Named | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> Discovery:
        """Look for failures that nobody listed: half of the images propose them, the other half judges. Stored.

        Parameters
        ----------
        options, changes : how; `changes` are fields of DiscoverOptions by name: `llm="http://localhost:8000/v1"`.
        encoder : the workspace's encoder, named again where it is code of your own.

        Raises NotReadyError before a fit, and where there are too few images for two halves.
        """
        from fsearch.search.discovery.discover import discover

        self._session.name(encoder)
        return discover(self.root, self._session, model, replace(options, **changes), progress)
