"""autofaiss on the same shards, with the memory that our index takes and the time that our deep query takes.

It needs numpy 1, so it runs in an environment of its own, given by --autofaiss; `SCRIPT` is what runs there.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

PATIENCE_S = 2700.0  # its own estimate for a million vectors on two cores is a third of that
SCRIPT = r"""
import glob, json, resource, sys, time
import faiss, numpy as np
from autofaiss import build_index

folder, gib, limit_ms = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
began = time.perf_counter()
index, about = build_index(
    folder + "/w/vectors", index_path=folder + "/rival.faiss", index_infos_path=folder + "/rival.json",
    metric_type="ip", max_index_memory_usage=f"{gib:.3f}GB", current_memory_available="20GB",
    max_index_query_time_ms=limit_ms, verbose=40)
took = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
asked = np.load(folder + "/asked.npz")
share = lambda found, true: float(np.mean([np.isin(t, f).mean() for f, t in zip(found, true)]))
found = {}
for name in ("images", "phrases"):
    for k in (100, 2048):
        rows = index.search(asked[name], k)[1]
        found[f"recall_{k}_{name}"] = share(rows, asked["true_" + name][:, :k])
times = []
for query in np.concatenate([asked["images"], asked["phrases"]]):
    start = time.perf_counter()
    index.search(query[None], 100)
    times.append(time.perf_counter() - start)
found |= {"build_s": took, "peak_gib": peak, "p50_ms": 1e3 * float(np.median(times)),
          "gib": __import__("os").path.getsize(folder + "/rival.faiss") / 2**30, "key": about["index_key"],
          "param": about.get("index_param", "")}
print(json.dumps(found))
"""


def line(python: str, folder: Path, built: dict[str, Any], rows: int, query_ms: float) -> str:
    """Build and ask in that environment; one line of what came out. `query_ms` is the time a query may take there.

    It is stopped after PATIENCE_S.
    """
    gib = built["bytes_per_vector"] * rows / 2**30
    command = [python, "-c", SCRIPT, str(folder), str(gib), str(query_ms)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return f"autofaiss, at most {gib:.2f} GiB: still building after {PATIENCE_S:.0f} s"
    if done.returncode:
        return f"autofaiss: failed ({done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode})"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    recalls = ", ".join(
        f"{name}: @100 {found[f'recall_100_{name}']:.3f}, @2048 {found[f'recall_2048_{name}']:.3f}"
        for name in ("images", "phrases")
    )
    return (
        f"autofaiss, at most {gib:.2f} GiB and {query_ms:.1f} ms a query: {found['key']} {found['param']}, "
        f"{found['gib']:.2f} GiB, build {found['build_s']:.0f} s, peak RSS {found['peak_gib']:.1f} GiB; "
        f"{recalls}; p50 {found['p50_ms']:.2f} ms"
    )
