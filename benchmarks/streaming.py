"""Memory while a large WebDataset is indexed and a black box is run on it: python -m benchmarks.streaming [--images N]

The shards are written by the webdataset library: 256 drawn JPEG images of 224 x 224 pixels, each repeated with other
bytes behind its end, which decoders ignore and hashes do not, so that every sample is an image of its own. Each
measurement is a process; "beyond the encoder" is its peak RSS less that of one that only loads the encoder and embeds.
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import webdataset
from benchmarks.measure import machine
from PIL import Image

PER_SHARD = 1000
BASES = 256


def write_shards(folder: Path, images: int) -> str:
    rng = np.random.default_rng(0)
    bases = []
    for _ in range(BASES):
        data = io.BytesIO()
        coarse = Image.fromarray(rng.integers(0, 256, (14, 14, 3), np.uint8))
        coarse.resize((224, 224), Image.Resampling.BICUBIC).save(data, "JPEG", quality=90)
        bases.append(data.getvalue())
    with webdataset.ShardWriter(str(folder / "%05d.tar"), maxcount=PER_SHARD, verbose=0) as sink:
        for i in range(images):
            unique = bases[i % BASES] + i.to_bytes(8, "big")
            sink.write({"__key__": f"{i:08d}", "jpg": unique, "json": {"number": i}})
    return str(folder)


def baseline() -> None:
    from fsearch.indexer.embedding.encoder import identify, load_encoder

    encoder = load_encoder(identify("demo", None))
    encoder.embed_images([encoder.prepare(Image.new("RGB", (224, 224))) for _ in range(64)])


def index(shards: str, root: str) -> None:
    import fsearch

    report = fsearch.open(root).index(shards)
    assert report.found == report.embedded + report.unchanged, report


def predict(root: str) -> None:
    import fsearch

    report = fsearch.open(root).losses.add(
        "mean", black_box=lambda images: [float(np.asarray(i.reduce(8)).mean()) for i in images], task="loss"
    )
    assert report.failed == 0, report


def measured(*args: str) -> tuple[float, float]:
    """Peak RSS in MiB and seconds of one step in a process of its own."""
    began = time.perf_counter()
    step = subprocess.run(
        [sys.executable, "-m", "benchmarks.streaming", "--step", *args], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(step.stdout.split()[-1]), time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--step", nargs="+")
    options = parser.parse_args()
    if options.step:
        name, *args = options.step
        {"baseline": baseline, "index": index, "predict": predict}[name](*args)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work, "shards")
        folder.mkdir()
        shards, root = write_shards(folder, options.images), str(Path(work, "w.fsearch"))
        size = sum(p.stat().st_size for p in folder.iterdir()) / 2**30
        print(f"streaming: WebDataset of {options.images:,} images, {size:.1f} GiB ({machine()})", flush=True)
        base, _ = measured("baseline")
        print(f"  loading the demo encoder, one batch: peak {base:.0f} MiB")
        for name, args in (("index", (shards, root)), ("index again", (shards, root)), ("predict", (root,))):
            peak, seconds = measured(name.split()[0], *args)
            print(
                f"  {name}: peak {peak:.0f} MiB, {peak - base:.0f} MiB beyond the encoder, {seconds:.0f} s", flush=True
            )


if __name__ == "__main__":
    main()
