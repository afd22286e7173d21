"""What each page shows, as values for the templates. Knows nothing of HTTP; one `Views` serves many threads."""

from __future__ import annotations

from typing import Any

from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.errors import BadInputError
from fsearch.search.answer import Answers, Ranking
from fsearch.search.hypotheses import contrasted, read_hypotheses, shipped, versus
from fsearch.search.options import Progress
from fsearch.search.stored_ranking import latest_run
from fsearch.search.votes import vote, votes_on
from fsearch.search.web.change_views import ChangeViews
from fsearch.search.web.data_views import DataViews
from fsearch.search.web.filters import EVERYTHING, Filter
from fsearch.search.web.frame import STRIP
from fsearch.search.web.gate_views import GateViews
from fsearch.search.web.lists import MAX_PHRASES, listed
from fsearch.search.web.overview import Making, Summary
from fsearch.search.web.plots import Axis
from fsearch.search.web.work import Job

_FOLDED = (Verdict.UNSEEN, Verdict.UNCLEAR)


class Views(DataViews, ChangeViews, GateViews):
    """The pages of one workspace."""

    def first(self, only: Filter) -> dict[str, Any]:
        """The last run; before there is one, what to begin with."""
        try:
            last = latest_run(self.store())
        except BadInputError:  # there is none
            last = None
        if last is not None:
            return self.run(last, None, only)
        lists = {name: [h.text for h in read_hypotheses(path)] for name, path in shipped().items()}
        return self.frame() | {"template": "start.html", "lists": lists, "command": self.command("rank", "people")}

    def run(self, run_id: int | None, rank: int | None, only: Filter = EVERYTHING) -> dict[str, Any]:
        """A stored run with one of its phrases chosen, by default the worst that `only` lists."""
        with self.at_once():
            ranking = self._now().ranking(run_id)
            number, every = ranking.run_id, (*ranking.answers, *ranking.hidden)
            chosen = next((i for i, a in enumerate(every, start=1) if only.keeps(a)), 1) if rank is None else rank
            if not 1 <= chosen <= len(every):
                raise BadInputError(f"run {number} has no rank {chosen}")
            command = self.command("report", number, "-o", "report.html")
            values = self._ranked(ranking, chosen, command, only)
        return values | {"run_id": number, "created_at": ranking.created_at, "correction": ranking.correction}

    def ask(self, text: str, where: str | None, rank: int | None) -> dict[str, Any]:
        """Answers to what was asked in the box: phrases apart by ';', two contrasted by 'vs'."""
        phrases = [part.strip() for part in text.split(";") if part.strip()]
        if not phrases or len(phrases) > MAX_PHRASES:
            raise BadInputError(f"ask one phrase, or up to {MAX_PHRASES:,} apart by ';'")
        words = [word for phrase in phrases for word in versus(phrase)]
        with self._asking:
            with self.at_once():
                model = self.name()
            asked = self.workspace.query(*contrasted(words), model=model, where=where or None, top=STRIP)
        self.remember(text, where or "")
        chosen = 1 if rank is None else min(max(1, rank), len(asked.answers) + len(asked.hidden))
        more = ("--where", where) if where else ()
        with self.at_once():
            command = self.command("query", *words, *more, *self.model_option())
            values = self._ranked(asked, chosen, command)
        return values | {"question": text, "where": where or "", "notes": asked.notes, "correction": asked.correction}

    def rank(self, form: dict[str, str]) -> Job:
        """Begin to rank the hypotheses of a form as a stored run."""
        hypotheses = listed(form)

        def work(progress: Progress) -> int:
            with self._asking:
                return self.workspace.rank(hypotheses, model=self.name(), top=STRIP, progress=progress).run_id

        return self.jobs.start(work)

    def work(self, number: int) -> dict[str, Any]:
        """How far a piece of work is."""
        return self.frame() | {"job": self.jobs[number]}

    def vote(self, text: str, image: str, shows: str) -> None:
        """Store whether an image shows a phrase: "yes", "no", or "" to take it back."""
        said = {"yes": True, "no": False, "": None}
        if shows not in said or not image.isdigit() or len(image) > 18:
            raise BadInputError("a vote names an image by its number, and says yes, no or nothing")
        with self._asking:
            vote(self.store(), text, int(image), said[shows])

    def _ranked(self, found: Ranking | Answers, chosen: int, command: str, only: Filter = EVERYTHING) -> dict[str, Any]:
        answers, every = found.answers, (*found.answers, *found.hidden)
        all_ranked = [(rank, a) for rank, a in enumerate(answers, start=1) if a.wording_of is None]
        ranked = [(rank, a) for rank, a in all_ranked if only.keeps(a)]
        hidden = [(rank, a) for rank, a in enumerate(found.hidden, start=len(answers) + 1) if only.keeps(a)]
        by = {rank: cause for rank, a in ranked if a.verdict == Verdict.FAILS and (cause := a.explained_by)}
        judged = [a for _, a in ranked if a.verdict not in _FOLDED]
        return self.frame(found.model) | {
            "summary": Summary.of([a for _, a in all_ranked]),
            "only": only,
            "choices": only.choices(every),
            "rows": [(rank, a) for rank, a in ranked if a.verdict not in _FOLDED and rank not in by],
            "apart": [(rank, a, by[rank]) for rank, a in ranked if rank in by],
            "unclear": [(rank, a) for rank, a in ranked if a.verdict == Verdict.UNCLEAR],
            "unseen": [(rank, a) for rank, a in ranked if a.verdict == Verdict.UNSEEN],
            "axis": Axis.of(judged or answers),
            "hidden": hidden,
            "hidden_axis": Axis.of(found.hidden),
            "answer": every[chosen - 1],
            "votes": votes_on(self.store(), every[chosen - 1].text),
            "chosen": chosen,
            "count": len(every),
            "command": command,
        }

    def made(self, run_id: int | None) -> dict[str, Any]:
        """How a run was made."""
        ranking = self._now().ranking(run_id)
        command = self.command("runs", "show", ranking.run_id)
        making = Making.of(self.store(), ranking)
        return self.frame(ranking.model) | {"making": making, "run_id": ranking.run_id, "command": command}
