"""One writer at a time, named to whoever else would write, and gone with its process; with and without fcntl."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import Planted

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.workspace.store import Store


@pytest.fixture
def copied(fitted: Path, tmp_path: Path) -> Path:
    """A fitted workspace of the test's own."""
    root = tmp_path / "copied.fsearch"
    shutil.copytree(fitted, root)
    return root


def test_the_package_works_without_fcntl(few: Planted) -> None:
    """As on Windows, where filelock takes the system's own lock."""
    code = (
        "import sys; sys.modules['fcntl'] = None\nimport fsearch, fsearch.cli\n"
        f"print(fsearch.open('w').index({str(few.folder)!r}).embedded)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout == "60\n", run.stderr


def test_no_module_imports_fcntl_when_it_is_loaded() -> None:
    code = "import sys; sys.modules['fcntl'] = None\nimport importlib, pkgutil, fsearch\n" + (
        "for m in pkgutil.walk_packages(fsearch.__path__, 'fsearch.'):\n"
        "    if m.name.startswith(('fsearch.indexer.storage', 'fsearch.indexer.workspace', 'fsearch.search')):\n"
        "        importlib.import_module(m.name); print(m.name)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "fsearch.indexer.storage.locks" in run.stdout


HOLDER = """
import sys, time
from pathlib import Path
from fsearch.indexer.workspace.store import Store
with Store.open(Path(sys.argv[1])).writer():
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_writer_leaves_the_workspace_free(copied: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(copied)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        store = Store.open(copied)
        with pytest.raises(WorkspaceError, match=f"is being written by process {holder.pid}; wait for it to end"):
            store.writer().__enter__()
    finally:
        holder.kill()
        holder.communicate()
    with store.writer():
        pass
    assert not store.layout.lock_holder.exists()
