"""The wheel holds all that fsearch needs at run time and nothing else; pages and errors name packages to install."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

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
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/**/*.md")]
MODULES = [
    ROOT / "cli.py",
    *(p for room in ("indexer", "diagnoser", "search", "data") for p in (ROOT / room).rglob("*.py")),
]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def name_of(requirement: str) -> str:
    """The normalised name of the distribution that a requirement asks for."""
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-")


def literals(path: Path) -> list[str]:
    """Every string of a module, parts of f-strings too."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


TEXTS = [(p, p.read_text()) for p in PAGES] + [(p, text) for p in MODULES for text in literals(p)]


def test_users_are_told_to_install_only_what_the_project_names() -> None:
    """`fsearch` on PyPI is a stranger's: a page or an error that says to install it would run foreign code."""
    groups = [
        PROJECT["dependencies"],
        *PROJECT["optional-dependencies"].values(),
        PYPROJECT["dependency-groups"]["dev"],
    ]
    allowed = {PROJECT["name"], ".", *(name_of(r) for group in groups for r in group)}
    assert "fsearch" not in allowed
    found = []
    for path, text in TEXTS:
        assert "fsearch[" not in text, path
        for command in re.findall(r"pip install ([^`\n\";)]+)", text):
            asked = [word for word in shlex.split(command) if not word.startswith("-")]
            assert asked, f"{path.name}: {command}"
            assert {name_of(word) for word in asked} <= allowed, f"{path.name}: pip install {command}"
            found += asked
    assert {"onnxruntime", "ray", "datasets", "webdataset", "urllib3"} <= set(found)


def pins(name: str) -> dict[str, Version]:
    """The exact versions of a file of constraints."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    return {name_of(line): Version(line.split("==")[1]) for line in lines}


def test_the_oldest_versions_are_the_floors_and_the_newest_are_above_them() -> None:
    oldest, newest = pins("constraints-oldest.txt"), pins("constraints.txt")
    extras = [r for name, group in PROJECT["optional-dependencies"].items() if name != "all" for r in group]
    for text in {*PROJECT["dependencies"], *extras, *PYPROJECT["dependency-groups"]["dev"]}:
        requirement = Requirement(text)
        name, floor = name_of(text), Version(next(iter(requirement.specifier)).version)
        if text not in PYPROJECT["dependency-groups"]["dev"]:
            assert oldest[name] == floor, f"{text}: constraints-oldest.txt has {oldest[name]}"
        assert oldest.get(name, floor) >= floor, f"{text}: constraints-oldest.txt has {oldest[name]}"
        assert newest.get(name, floor) >= floor, f"{text}: constraints.txt has {newest[name]}"
    assert not [name for name in oldest.keys() & newest.keys() if oldest[name] > newest[name]]


def test_the_version_is_stated_once_and_the_same() -> None:
    assert PROJECT["version"] == fsearch.__version__


@pytest.mark.slow
def test_the_wheel_is_complete_and_holds_only_the_package(tmp_path: Path) -> None:
    clean = tmp_path / "checkout-1"  # a folder name that is no Python identifier
    skip = shutil.ignore_patterns(".*", "build", "fsearch-demo", "*.egg-info", "__pycache__", "typings")
    shutil.copytree(ROOT, clean, ignore=skip)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", "out", "."]
    subprocess.run(command, cwd=clean, check=True, capture_output=True)
    (wheel,) = (clean / "out").glob("fsearch_vision-*.whl")
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
