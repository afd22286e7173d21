"""What all benchmarks share: the machine, medians, and ratios inside one run."""

from __future__ import annotations

import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path


def machine() -> str:
    """CPU, cores and the versions that matter."""
    import torch
    import xgboost

    model = platform.processor() or "unknown CPU"
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), model
        )
    return (
        f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}, xgboost {xgboost.__version__}"
    )


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def paired(ours: Callable[[], object], bare: Callable[[], object], repeats: int) -> tuple[float, float, float]:
    """Median seconds of both, measured in turns, and the ratio bare / ours of these medians.

    Which of the two goes first changes with every turn, so that neither always finds the caches warm.
    """
    pairs = []
    for i in range(repeats):
        if i % 2:
            other = seconds(bare)
            pairs.append((seconds(ours), other))
        else:
            pairs.append((seconds(ours), seconds(bare)))
    mine, other = statistics.median(o for o, _ in pairs), statistics.median(b for _, b in pairs)
    return mine, other, other / mine


class OwnMemory:
    """Watches this process's anonymous memory, which the system cannot take back as it can pages of mapped files."""

    def __init__(self) -> None:
        self.peak_gib = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.peak_gib = max(self.peak_gib, own_memory() / 2**30)
            time.sleep(0.2)


def own_memory() -> int:
    """Bytes of this process's anonymous memory now."""
    return _status("RssAnon")


def resident_memory() -> int:
    """Bytes of this process that are in memory now, pages of mapped files among them."""
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
