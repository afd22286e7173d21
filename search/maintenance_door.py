"""The words of a workspace that say what it holds and keep it sound: info, check, trust, distrust, compact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fsearch.search.options import Progress, named

if TYPE_CHECKING:
    from fsearch.indexer.workspace.compact import CompactReport
    from fsearch.search.inventory import Info
    from fsearch.search.maintenance import Checked
    from fsearch.search.session import Session


class Maintains:
    """What `Workspace` has to be looked after with."""

    root: Path
    _session: Session

    def check(self, *, repair: bool = False, progress: Progress | None = None) -> Checked:
        """Integrity check of every file and row; with `repair`, rebuild derived data and quarantine the rest."""
        from fsearch.search import maintenance

        return maintenance.check(self.root, repair, named(progress, "checking"))

    def trust(self) -> tuple[str, ...]:
        """Trust this workspace with the encoder and data sets that it names now; returns these."""
        from fsearch.search import maintenance

        return maintenance.trust(self.root)

    def distrust(self) -> bool:
        """Trust this workspace with nothing any more; returns whether it was trusted with anything."""
        from fsearch.indexer.workspace.trust import forget

        return forget(self.root)

    def compact(self) -> CompactReport:
        """Reclaim space from orphaned embeddings, and drop missing images. Models must be fitted again."""
        from fsearch.search import maintenance

        return maintenance.compact(self.root)

    def info(self) -> Info:
        """What the workspace holds."""
        from fsearch.search.inventory import inventory

        return inventory(self._session.store(self.root))
