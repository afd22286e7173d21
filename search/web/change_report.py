"""A stored comparison of two models as one file to send, or as a part of a run's: what got worse, and what better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fsearch
from fsearch.diagnoser.change_verdict import ChangeVerdict
from fsearch.diagnoser.verdict import Q_LEVEL
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.compare.result import MovedImage
from fsearch.search.web.changes import StoredChange, StoredComparison
from fsearch.search.web.moved import Sides
from fsearch.search.web.overview import CORRECTIONS
from fsearch.search.web.sent import ReportOptions, framed
from fsearch.search.web.templating import render


@dataclass(frozen=True, slots=True)
class Compared:
    """A stored comparison with the images of each change.

    Attributes
    ----------
    moved : the images, by rank; `without` : why there are none, in words, where they cannot be found any more.
    """

    found: StoredComparison
    moved: Mapping[int, Sequence[MovedImage]]
    without: str = ""

    @classmethod
    def of(cls, store: Store, reader: ImageReader, number: int, images: int) -> Compared:
        """A comparison by its number, with at most `images` of each change. Raises BadInputError for none."""
        found = StoredComparison.of(store, number)
        head, seen = found.head, [c for c in (found.whole, *found.heads) if c.verdict != ChangeVerdict.UNSEEN]
        sides = Sides(store, head["before"], head["after"], bool(head["standardised"]), head["condition"])
        try:
            of = {c.rank: (c.shown_by(store, number), c.change) for c in seen if images}
            moved = {rank: sides.moved(*asked, reader, images) for rank, asked in of.items()}
        except BadInputError as error:
            return cls(found, {}, str(error))
        return cls(found, moved)

    @property
    def images(self) -> list[MovedImage]:
        """All of them."""
        return [image for some in self.moved.values() for image in some]

    @property
    def worse(self) -> list[StoredChange]:
        """What got worse, most surely first."""
        return self.found.called(ChangeVerdict.WORSE)

    @property
    def better(self) -> list[StoredChange]:
        """What got better, most surely first."""
        return self.found.called(ChangeVerdict.BETTER)[::-1]

    @property
    def title(self) -> str:
        """What got worse, as a number."""
        return f"{len(self.worse)} of {len(self.found.heads)} kinds of image got worse"

    @property
    def certainty(self) -> str:
        """What the intervals and the false discovery rate promise."""
        words = [f"\u201c{c[0].verdict}\u201d" for c in (self.worse, self.better) if c]
        said = "Each image is compared with itself: what makes it hard for both models cancels. "
        if words:
            said += (
                f"Of the phrases called {' and of those called '.join(words)}, at most one in {round(1 / Q_LEVEL)} is "
                f"expected to be a false alarm ({CORRECTIONS[self.found.head['correction']]} at {Q_LEVEL:.0%}); each "
                "also has a 90% interval beside zero."
            )
        return said.rstrip()

    @property
    def steps(self) -> list[str]:
        """What the reader can do about it, in order."""
        whole, unclear = self.found.whole.verdict, self.found.called(ChangeVerdict.UNCLEAR)
        unseen, steps = self.found.called(ChangeVerdict.UNSEEN), []
        if self.worse:
            worst = self.worse[0].title
            steps.append(
                f"Look at images of \u201c{worst}\u201d that got worse: do they show it, and are their labels right?"
            )
            steps.append(
                "Do not release on the mean loss alone: it got better, and these got worse."
                if whole == ChangeVerdict.BETTER
                else "Hold the release, or say on whom it is worse; fsearch gate can stop the next one."
            )
        elif whole == ChangeVerdict.WORSE:
            steps.append("All images together got worse: ask about more kinds of image, to find which.")
        if unclear:
            steps.append(
                f"Add images of \u201c{unclear[0].title}\u201d and of what else is unclear: there no change is shown, "
                "and none is ruled out."
            )
        if unseen:
            steps.append(f"Add images of \u201c{unseen[0].title}\u201d before anything is said of them.")
        return steps or ["Nothing that was asked about got worse: ask about more kinds of image."]

    def values(self) -> dict[str, Any]:
        """What the templates show of it."""
        return self.found.values() | {
            "k": self,
            "unclear": self.found.called(ChangeVerdict.UNCLEAR),
            "same": self.found.called(ChangeVerdict.SAME),
            "made": self.found.making("fsearch"),
        }


def change_report(store: Store, reader: ImageReader, number: int, options: ReportOptions) -> str:
    """The report of a stored comparison. Raises BadInputError where there is none."""
    compared = Compared.of(store, reader, number, options.shown)
    values = compared.values() | {"version": fsearch.__version__}
    if options.format == "md":
        return render("report_changes.md", **values)
    return render("report_changes.html", **values, **framed(compared.images, store, reader, options))
