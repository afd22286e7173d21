"""The wheel holds all that fsearch needs at run time and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import fsearch

ROOT = Path(__file__).parents[1]
NEEDED = [
    "fsearch/cli.py",
    "fsearch/py.typed",
    "fsearch/data/encoder/fsearch-portraits.safetensors",
    "fsearch/data/encoder/fsearch-portraits.json",
    "fsearch/data/encoder/words.txt",
    "fsearch/data/encoder/MODEL_CARD.md",
    "fsearch/data/blackbox/smile.safetensors",
    "fsearch/data/hypotheses/portraits.csv",
    "fsearch/data/hypotheses/reference.txt",
]


def test_the_version_is_stated_once_and_the_same() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == fsearch.__version__


@pytest.mark.slow
def test_the_wheel_is_complete_and_holds_only_the_package(tmp_path: Path) -> None:
    clean = tmp_path / "checkout-1"  # a folder name that is no Python identifier
    skip = shutil.ignore_patterns(".*", "build", "fsearch-demo", "*.egg-info", "__pycache__", "typings")
    shutil.copytree(ROOT, clean, ignore=skip)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", "out", "."]
    subprocess.run(command, cwd=clean, check=True, capture_output=True)
    (wheel,) = (clean / "out").glob("fsearch-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert set(NEEDED) <= set(names)
    shipped = {
        str(p.relative_to(ROOT))
        for part in ("indexer", "diagnoser", "search", "data")
        for p in (ROOT / part).rglob("*.py")
    }
    assert {f"fsearch/{name}" for name in shipped} <= set(names)
    assert {n.split("/")[0] for n in names} == {"fsearch", next(n for n in names if "dist-info" in n).split("/")[0]}
    assert not [n for n in names if "/tests/" in n or "/benchmarks/" in n]
