"""How tests are laid out over workers, on which fixtures of a file and the time of a run depend."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_tests_of_a_file_stay_in_one_worker() -> None:
    files = [f"tests/test_{name}.py" for name in ("strength", "selection")]
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-n", "2", "--no-loadscope-reorder"]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=True)
    workers = defaultdict(set)
    for worker, file in re.findall(r"^\[(gw\d)\].* PASSED (\S+?)::", done.stdout, re.M):
        workers[file].add(worker)
    assert {file: len(of) for file, of in workers.items()} == dict.fromkeys(files, 1), done.stdout
