"""The examples in the docstrings of the public Python door run, in the workspace of the tests."""

from __future__ import annotations

import doctest
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fsearch
from fsearch.search.answer import Answer, Answers
from fsearch.search.workspace import Workspace

DOOR = [fsearch, fsearch.open, Workspace.query, Workspace.rank, Answers.to_pandas, Answer.images]


@pytest.mark.parametrize("part", DOOR, ids=lambda part: getattr(part, "__qualname__", part.__name__))
def test_an_example_gives_what_it_says(part: Callable[..., Any], fitted: Path) -> None:
    pytest.importorskip("pandas")
    shutil.copytree(fitted, ".fsearch")
    ws = fsearch.open()
    ws.trust()  # it was made elsewhere: its images are read here, too
    (example,) = doctest.DocTestFinder(recurse=False).find(part, globs={"fsearch": fsearch, "ws": ws})
    assert example.examples
    told: list[str] = []
    failed, _ = doctest.DocTestRunner(verbose=False).run(example, out=told.append)
    assert not failed, "".join(told)
