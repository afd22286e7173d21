"""The house rules that a machine can check: imports, names, sizes, what is shipped."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ["indexer", "diagnoser", "search"]  # imports go from right to left only
PACKAGE = sorted(p for part in (*ORDER, "data") for p in (ROOT / part).rglob("*.py"))
FOLDERS = sorted(
    {p.parent for p in PACKAGE} | {ROOT / "benchmarks"} | {p.parent for p in ROOT.glob("benchmarks/*/*.py")}
)
# the rooms of indexer/, lowest first: a room may import the rooms before its own line, and the files beside the folders
FLOORS = [["storage"], ["sources", "vector_index"], ["workspace"], ["embedding", "losses"]]
ENGINES = {  # where each engine and optional library may be imported; but for the first two, in one file of that room
    "duckdb": "indexer/storage",
    "faiss": "indexer/vector_index",
    "datasets": "indexer/sources",
    "fsspec": "indexer/sources",
    "open_clip": "indexer/embedding",
    "ray": "indexer/embedding",
    "onnxruntime": "indexer/losses/blackbox",
    "timm": "indexer/losses/blackbox",
    "urllib3": "indexer",
    "xgboost": "diagnoser",
    "filelock": "indexer/storage",
    "charset_normalizer": "indexer/storage",
    "starlette": "search/web",
    "uvicorn": "search/web",
    "fiftyone": "search/formats",
    "umap": "search/web",
    "textual_image": "search/terminal",
    "fcntl": "indexer/storage",
}


def imported(path: Path) -> set[str]:
    """Every module and every `module.name` that a file imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return names


def dotted(path: Path) -> str:
    """The name that a file of the package is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("fsearch", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_package_has_files_to_check() -> None:
    assert len(PACKAGE) > 30


@pytest.mark.parametrize("path", PACKAGE, ids=shown)
def test_imports_go_one_way(path: Path) -> None:
    room, *below = path.relative_to(ROOT).parts
    allowed = set(ORDER[: ORDER.index(room) + 1]) | {"data"} if room in ORDER else {"data"}
    if below[0] == "training":  # programs that make what is shipped: they use the product, and nothing imports them
        allowed |= set(ORDER)
    else:
        assert not [name for name in imported(path) if name.startswith("fsearch.data.training")]
    used = {name.split(".")[1] for name in imported(path) if name.startswith("fsearch.")}
    assert used & {*ORDER, "cli", "data"} <= allowed
    assert not {name.split(".")[0] for name in imported(path)} & {*ORDER, "cli", "data"}


def test_every_room_of_the_indexer_has_its_floor() -> None:
    found = {p.name for p in (ROOT / "indexer").iterdir() if p.is_dir() and any(p.glob("*.py"))}
    assert found == {room for floor in FLOORS for room in floor}


@pytest.mark.parametrize("path", sorted((ROOT / "indexer").rglob("*.py")), ids=shown)
def test_a_room_of_the_indexer_imports_only_rooms_below_it(path: Path) -> None:
    room, *inside = path.relative_to(ROOT / "indexer").parts
    used = {n.split(".")[2] for n in imported(path) if re.match(r"fsearch\.indexer\.\w", n)}
    rooms = used & {r for floor in FLOORS for r in floor}
    if not inside:  # errors, devices and the like: they know no room
        assert not rooms
    else:
        level = next(i for i, floor in enumerate(FLOORS) if room in floor)
        assert rooms <= {room} | {r for floor in FLOORS[:level] for r in floor}


def test_imports_make_no_circle() -> None:
    modules = {dotted(p): p for p in PACKAGE}
    graph = {name: {n for n in imported(path) & set(modules) if n != name} for name, path in modules.items()}
    for used in graph.values():  # `from package import module` needs the module, not what the package imports
        used -= {n for n in used if any(other.startswith(f"{n}.") for other in used)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(("engine", "home"), ENGINES.items())
def test_each_engine_has_one_home(engine: str, home: str) -> None:
    files = [
        p for p in PACKAGE if ROOT / "data" not in p.parents
    ]  # programs of data/ use torch and open_clip as they are
    users = [shown(p) for p in files if engine in {n.split(".")[0] for n in imported(p)}]
    assert users
    assert all(user.startswith(f"{home}/") for user in users)
    assert len(users) == 1 or engine in list(ENGINES)[:2]


@pytest.mark.parametrize("path", [*PACKAGE, ROOT / "cli.py"], ids=shown)
def test_files_stay_small_and_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= (300 if path.name == "concepts.py" else 260)
    assert ast.get_docstring(ast.parse(text))
    assert path.name not in ("utils.py", "helpers.py", "common.py", "manager.py")


@pytest.mark.parametrize("folder", FOLDERS, ids=shown)
def test_every_folder_says_what_it_is(folder: Path) -> None:
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


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
    found = {"fsearch"} | {dotted(p) for p in PACKAGE if p.name == "__init__.py"}
    assert listed == found


def test_no_stray_module_at_the_root() -> None:
    assert {p.name for p in ROOT.glob("*.py")} == {"__init__.py", "cli.py"}


def test_shipped_weights_keep_their_limits() -> None:
    assert (ROOT / "data/encoder/fsearch-portraits.safetensors").stat().st_size <= 12_000_000
    assert (ROOT / "data/blackbox/smile.safetensors").stat().st_size <= 2_000_000


FIELDS_OF_OTHERS = (
    "_repr_html_",  # with which a notebook shows a value
    *("_id", "_media_type", "_rand"),  # FiftyOne's, in its files
    *("_FSEARCH_COMPLETE", "_TYPER_COMPLETE_ARGS"),  # with which a shell asks Typer what to offer
)


def private_names(source: str) -> Iterator[str]:
    """Each private name that a test imports, reads, sets or patches; also in programs that it runs as text."""
    private = re.compile(r"_[A-Za-z]\w*$")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("fsearch", "benchmarks")):
            yield from (a.name for a in node.names if private.match(a.name))
        elif isinstance(node, ast.Attribute) and private.match(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if "\n" in node.value:
                yield from re.findall(r"(?<!self)(?<!cls)\.(_[A-Za-z]\w*)", node.value)
            elif re.fullmatch(r"(\w+\.)*_[A-Za-z]\w*", node.value):
                yield node.value.rsplit(".", 1)[-1]


def test_private_names_are_found_wherever_they_are_written() -> None:
    written = [
        "from fsearch.a import _b",
        "a._b = 3",
        "patch.setattr('fsearch.a._b', 3)",
        "patch.setattr(a, '_b', 3)",
        "CODE = '''\nimport a\na._b = 3\n'''",
    ]
    assert [list(private_names(text)) for text in written] == [["_b"]] * len(written)
    assert not list(private_names("def _own():\n    return self._mine, a.__name__, _own()"))


def test_tests_pin_no_private_name() -> None:
    """A test that reaches into a private name forbids the change that the name was made private for."""
    others = [p for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__)]
    found = [(p.name, name) for p in others for name in private_names(p.read_text())]
    assert [(file, name) for file, name in found if name not in FIELDS_OF_OTHERS] == []
