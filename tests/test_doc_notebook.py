"""The notebook in docs/ runs from top to bottom, and shows what its text says."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def shown(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does: what its last line, if it is an expression, gives."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


@pytest.mark.slow
def test_every_cell_runs_and_shows_what_it_is_about() -> None:
    pytest.importorskip("pandas")
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], len({c["id"] for c in notebook["cells"]})) == (4, len(notebook["cells"]))
    names: dict[str, Any] = {}
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    given = [shown(cell, names) for cell in cells]
    answers, ranking, changes = (names[name] for name in ("answers", "ranking", "changes"))
    for value in (answers, ranking, changes):
        assert any(value is one for one in given)
        assert "very dark skin" in value._repr_html_()
    assert answers["very dark skin"].verdict == "fails"
    assert ranking.to_pandas()["verdict"].tolist() == [a.verdict for a in ranking]
    worse = [a.text for a in changes.answers if a.verdict == "worse"]
    assert (changes.whole.verdict, worse) == ("better", ["very dark skin"])
    assert "very dark skin" in Path("report.html").read_text() and "got worse" in Path("changes.html").read_text()  # noqa: PT018
