"""One writer at a time, named to whoever else would write, and gone with its process; with and without fcntl."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import Planted

import fsearch
from fsearch.indexer.errors import NotReadyError, WorkspaceError
from fsearch.indexer.storage.locks import queue
from fsearch.indexer.workspace.store import Store


@pytest.fixture
def copied(fitted: Path, tmp_path: Path) -> Path:
    """A fitted workspace of the test's own; it may hold rankings that other tests stored."""
    root = tmp_path / "copied.fsearch"
    shutil.copytree(fitted, root)
    return root


def hypotheses(root: Path) -> Counter[int]:
    """How many runs there are, by their number of hypotheses."""
    return Counter(fsearch.open(root).runs.list()["hypotheses"].to_pylist())


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


ADDING = """
import sys, time
from pathlib import Path
import fsearch
calls = []
def slow(images):
    Path("begun").touch()
    while not Path("ranked").exists():  # the run goes on until the ranking is stored
        time.sleep(0.05)
    return [float(i.width) for i in images]
print(fsearch.open(sys.argv[1]).losses.add("slow", black_box=slow, task="loss", images=sys.argv[2]).added)
"""


def test_a_ranking_is_stored_while_losses_are_added(copied: Path, planted: Planted) -> None:
    """Were the ranking to wait for the run, it would wait for ever: the run ends after it."""
    before = hypotheses(copied)
    command = [sys.executable, "-c", ADDING, str(copied), str(planted.folder)]
    adding = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not Path("begun").exists() and adding.poll() is None:
            time.sleep(0.05)
        Path("h.txt").write_text("dark skin tone\na hat\n")
        ranking = [sys.executable, "-m", "fsearch.cli", "rank", "h.txt", "--model", "planted", "-w", str(copied)]
        done = subprocess.run(ranking, capture_output=True, text=True, check=False)
        assert adding.poll() is None
        Path("ranked").touch()
        out, err = adding.communicate()
    finally:
        adding.kill()
    assert done.returncode == 0, done.stderr
    assert out == f"{len(planted.portraits)}\n", err
    ws = fsearch.open(copied)
    assert hypotheses(copied) - before == {2: 1}
    assert ws.losses.list()["model"].to_pylist() == ["planted", "slow"]
    assert ws.check().sound


def test_two_rankings_at_once_are_both_stored(copied: Path) -> None:
    before = hypotheses(copied)
    Path("h.txt").write_text("dark skin tone\na hat\n")
    command = [sys.executable, "-m", "fsearch.cli", "rank", "h.txt", "-w", str(copied)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    assert hypotheses(copied) - before == {2: 3}


def test_a_ranking_hides_no_commit_of_another_process(copied: Path) -> None:
    """A session keeps what it loaded past its own ranking, but not past losses that came in between."""
    ws = fsearch.open(copied)
    ws.query("a hat")
    drop = "import sys, fsearch\nfsearch.open(sys.argv[1]).losses.remove('planted')"
    subprocess.run([sys.executable, "-c", drop, str(copied)], check=True)
    with pytest.raises(NotReadyError, match="no losses"):
        ws.rank(["a hat"])


def test_a_writer_at_rest_lets_others_write_and_a_reading_one_does_not(copied: Path) -> None:
    store = Store.open(copied)
    with store.writer():
        store.models()
        with store.catalog.read() as con:  # a read that goes on keeps the catalog as it is
            code = (
                "import sys; from pathlib import Path; from fsearch.indexer.workspace.store import Store\n"
                "with Store.open(Path(sys.argv[1])).catalog.write(float(sys.argv[2])) as con: con.execute('SELECT 1')"
            )
            other = [sys.executable, "-c", code, str(copied)]
            assert "held by another process" in subprocess.run([*other, "2"], capture_output=True, text=True).stderr
            assert con.execute("SELECT count(*) FROM images").fetchall()
        assert subprocess.run([*other, "60"], capture_output=True, text=True).returncode == 0
        assert store.models() == ["planted"]


Held = tuple[Path, Callable[[], object]]
HELD = """
import sys
from pathlib import Path
from fsearch.indexer.storage.locks import queue
with queue(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    """A lock that another process holds, and how it lets go of it."""
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield path, other.stdin.close


def test_a_turn_in_the_queue_is_waited_for_as_long_as_was_said(held: Held) -> None:
    path, let_go = held
    for seconds in (0, 0.2):
        with pytest.raises(TimeoutError, match="is held by others"), queue(path, seconds):
            pass
    threading.Timer(0.2, let_go).start()
    with queue(path, 60), pytest.raises(TimeoutError), queue(path, 0):
        pass


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_a_turn_that_comes_too_late_is_passed_on(held: Held) -> None:
    """Those who gave up stand in the kernel's queue before one who waits; they let go, and close their files."""
    path, let_go = held
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(TimeoutError), queue(path, 0.01):
            pass
    let_go()
    with queue(path, 60):
        pass
    while len(os.listdir("/proc/self/fd")) > before:
        time.sleep(0.01)


def test_a_turn_has_a_limit_without_fcntl_too(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['fcntl'] = None\nfrom pathlib import Path\n"
        "from fsearch.indexer.storage.locks import queue\npath = Path(sys.argv[1])\n"
        "with queue(path):\n    try:\n        with queue(path, 0.05): print('both')\n"
        "    except TimeoutError: print('one')\nwith queue(path, 0): print('next')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], capture_output=True, text=True)
    assert done.stdout == "one\nnext\n", done.stderr
