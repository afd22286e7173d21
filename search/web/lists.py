"""Lists of hypotheses that are typed, dropped or chosen on the page. A file is read as `fsearch rank` reads it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from fsearch.indexer.errors import BadInputError
from fsearch.search.hypotheses import Hypothesis, read_hypotheses, shipped

MAX_PHRASES = 2_000  # of one list
_READ = (".txt", ".csv", ".tsv", ".yaml", ".yml", ".jsonl")  # what a browser can hold as text


def listed(form: dict[str, str]) -> str | list[Hypothesis]:
    """The hypotheses of a form: the name of a shipped file as its `starter`, else its `phrases`, which were in `file`.

    Raises BadInputError where there are none, too many, or a file is of no kind that is read.
    """
    if form["starter"]:
        if form["starter"] not in shipped():
            raise BadInputError(f"no list is called {form['starter']!r}; there are: {', '.join(shipped())}")
        return form["starter"]
    name = Path(form["file"].replace("\\", "/")).name or "phrases.txt"
    if Path(name).suffix.lower() not in _READ:
        raise BadInputError(f"{name}: drop a file of {', '.join(_READ)}; others are for: fsearch rank FILE")
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"phrases{Path(name).suffix.lower()}"
        path.write_text(form["phrases"], encoding="utf-8")
        try:
            found = read_hypotheses(path)
        except BadInputError as error:
            raise BadInputError(str(error).replace(str(path), name)) from error
    if len(found) > MAX_PHRASES:
        raise BadInputError(f"{len(found):,} phrases; here {MAX_PHRASES:,} at most, more with: fsearch rank FILE")
    return found
