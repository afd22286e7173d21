"""The house rules that a machine can check: imports, names, sizes, what is shipped."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ["indexer", "diagnoser", "search"]  # imports go from right to left only
PACKAGE = sorted(p for part in (*ORDER, "data") for p in (ROOT / part).rglob("*.py"))
FOREIGN = {
    "faiss": "indexer/vector_index/",
    "duckdb": "indexer/storage/",
    "xgboost": "diagnoser/ensemble.py",
    "onnxruntime": "indexer/losses/blackbox/onnx.py",
    "timm": "indexer/losses/blackbox/timm_model.py",
    "urllib3": "indexer/losses/blackbox/endpoint.py",
    "datasets": "indexer/sources/huggingface.py",
    "ray": "indexer/embedding/ray_cluster.py",
    "fsspec": "indexer/sources/paths.py",
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_the_package_has_files_to_check() -> None:
    assert len(PACKAGE) > 30


@pytest.mark.parametrize("path", PACKAGE, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    room, *below = path.relative_to(ROOT).parts
    allowed = set(ORDER[: ORDER.index(room) + 1]) | {"data"} if room in ORDER else {"data"}
    if below[0] == "training":  # programs that make what is shipped: they use the product, and nothing imports them
        allowed |= set(ORDER)
    else:
        assert not [name for name in imported(path) if name.startswith("fsearch.data.training")]
    used = {name.split(".")[1] for name in imported(path) if name.startswith("fsearch.")}
    assert used <= allowed
    assert not {name.split(".")[0] for name in imported(path)} & {*ORDER, "cli", "data"}


@pytest.mark.parametrize(("engine", "home"), FOREIGN.items())
def test_each_engine_has_one_home(engine: str, home: str) -> None:
    users = {str(p.relative_to(ROOT)) for p in PACKAGE if engine in {n.split(".")[0] for n in imported(p)}}
    assert users
    assert all(user == home or (home.endswith("/") and user.startswith(home)) for user in users)


@pytest.mark.parametrize("path", [*PACKAGE, ROOT / "cli.py"], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_small_and_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= (300 if path.name == "concepts.py" else 260)
    assert path.name == "__init__.py" or ast.get_docstring(ast.parse(text))
    assert path.name not in ("utils.py", "helpers.py", "common.py", "manager.py")


def test_no_pickle_and_only_safe_loads() -> None:
    for path in PACKAGE:
        text = path.read_text()
        assert not re.search(r"^\s*(import|from) pickle", text, re.M), path
        for call in re.findall(r"torch\.load\([^)]*\)", text):
            assert "weights_only=True" in call, path
        for call in re.findall(r"np\.load\([^)]*\)", text):
            assert "allow_pickle" not in call or "allow_pickle=False" in call, path


def test_every_package_folder_is_listed_for_the_wheel() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(config["tool"]["setuptools"]["packages"])
    found = {"fsearch"} | {
        "fsearch." + ".".join(p.parent.relative_to(ROOT).parts) for p in PACKAGE if p.name == "__init__.py"
    }
    assert listed == found


def test_no_stray_module_at_the_root() -> None:
    assert {p.name for p in ROOT.glob("*.py")} == {"__init__.py", "cli.py"}


def test_shipped_weights_keep_their_limits() -> None:
    assert (ROOT / "data/encoder/fsearch-portraits.safetensors").stat().st_size <= 12_000_000
    assert (ROOT / "data/blackbox/smile.safetensors").stat().st_size <= 2_000_000
