"""What each command loads: nothing that takes long to import and is not called. `sys.modules` of a process tells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import typer

RUN = """
import sys
from fsearch import cli
sys.argv = ["fsearch", *sys.argv[1:]]
try:
    cli.main()
except SystemExit as end:
    assert not end.code, end.code
print(*sys.modules, file=sys.stderr)
"""
HEAVY = {"torch", "torchvision", "open_clip", "timm", "faiss", "xgboost", "pandas", "yaml", "filelock", "ssl"}
HEAVY |= {"scipy.stats", "scipy.optimize", "pyarrow.dataset", "pyarrow.parquet", "pyarrow.csv", "pyarrow.compute"}
# what DuckDB 1.4 itself imports wherever it is given an Arrow table
OF_OLD_DUCKDB = {"pandas", "pyarrow.compute"} if duckdb.__version__.startswith("1.4.") else set()
# what Typer 0.19 imports for any help
OF_OLD_TYPER = {"rich"} if typer.__version__.startswith("0.19.") else set()
NO_CATALOG = {"numpy", "duckdb", "pyarrow", "PIL", "scipy", "rich"}


def loaded(*arguments: str) -> set[str]:
    """The modules that a command line has loaded when it ends."""
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_loads_no_engine() -> None:
    for arguments in (["--help"], ["--version"], ["query", "--help"]):
        assert not loaded(*arguments) & (HEAVY | NO_CATALOG - OF_OLD_TYPER)


@pytest.mark.parametrize("command", [["info"], ["sql", "SELECT 1"], ["runs"], ["losses"]], ids=lambda c: c[0])
def test_reading_the_catalog_loads_the_catalog_alone(fitted: Path, command: list[str]) -> None:
    assert not loaded(*command, "-w", str(fitted)) & (HEAVY | {"scipy", "PIL"})


def test_a_query_loads_neither_torch_nor_what_it_does_not_call(fitted: Path) -> None:
    """Of a phrase that was asked before, and of a new one, with the text tower exported when the workspace was made."""
    for phrase in ("very dark skin", "someone bald at the beach"):
        found = loaded("query", phrase, "-w", str(fitted)) & HEAVY
        assert sorted(found - OF_OLD_DUCKDB) == []
