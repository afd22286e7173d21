"""Index throughput beside the bare forward pass of the encoder on ready-made batches, and what bounds it.

    python -m benchmarks.indexing --photos FOLDER
    python -m benchmarks.indexing --encoder demo --files 20000 --repeats 1

The encoder is ViT-B-32 with random weights, or the demo's. Without --photos it makes --files JPEG files of 500 x 375
pixels (200 different ones, copied with a comment of their own). Decoding, hashing, preprocessing, shards, catalog and
index are all inside fsearch's time; the bare pass starts from prepared tensors. Each stage alone, on one thread, tells
what bounds the whole: reading and decoding, and preprocessing, are done in threads beside the forward pass.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
from pathlib import Path

import torch
from benchmarks.measure import machine, paired, seconds
from PIL import Image, ImageFilter
from safetensors.torch import save_file

from fsearch.data.portraits import draw, sample
from fsearch.indexer.embedding.batch_sizes import BATCH
from fsearch.indexer.embedding.encoder import Encoder, identify, load_encoder
from fsearch.indexer.embedding.pipeline import index_images, local_engine
from fsearch.indexer.sources.base import Item
from fsearch.indexer.sources.decode import decode
from fsearch.indexer.sources.folder import Folder
from fsearch.indexer.workspace.encoder_spec import DEMO, EncoderSpec
from fsearch.indexer.workspace.store import Store

REPEATS = 3
NAME = "ViT-B-32"
STAGED = 200  # files that the stages are timed on


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--encoder", default=NAME, choices=(NAME, DEMO))
    parser.add_argument("--repeats", type=int, default=REPEATS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        photos = asked.photos or make_photos(work / "photos", asked.files)
        measure(work, photos, asked.encoder, asked.repeats, given=asked.photos is not None)


def measure(work: Path, photos: Path, name: str = NAME, repeats: int = REPEATS, *, given: bool) -> None:
    spec = random_weights(work) if name == NAME else identify(name, None)
    encoder = load_encoder(spec, "cpu")
    files = list(Folder(photos).items())
    prepared = [encoder.prepare(decode(f.read())) for f in files[:STAGED]]
    runs = iter(range(1000))

    def ours() -> None:
        root = work / f"run{next(runs)}"
        store = Store.create(root, spec)
        with store.writer():
            index_images(store, local_engine(lambda: encoder), Folder(photos))
        shutil.rmtree(root)

    def bare() -> None:
        for start in range(0, len(files), STAGED):
            forward(encoder, prepared[: len(files) - start])

    bare()
    mine, alone, ratio = paired(ours, bare, repeats)
    kind = "photographs" if given else "JPEG files made for this"
    print(f"indexing: {len(files)} {kind}, {name}, batches of {BATCH}, median of {repeats} ({machine()})")
    print(
        f"  fsearch {len(files) / mine:.1f} images/s, bare forward {len(files) / alone:.1f} images/s, ratio {ratio:.2f}"
    )
    for stage, took in stages(encoder, files[:STAGED]).items():
        print(f"  {stage}: {1000 * took / min(len(files), STAGED):.2f} ms an image")


def stages(encoder: Encoder, files: list[Item]) -> dict[str, float]:
    """Seconds that each stage takes for some files, alone and on one thread."""
    contents = [f.read() for f in files]
    images = [decode(content) for content in contents]
    prepared = [encoder.prepare(image) for image in images]
    return {
        "decoding": seconds(lambda: [decode(content) for content in contents]),
        "hashing": seconds(lambda: [hashlib.sha256(content).hexdigest() for content in contents]),
        "preprocessing": seconds(lambda: [encoder.prepare(image) for image in images]),
        "forward pass": seconds(lambda: forward(encoder, prepared)),
    }


def forward(encoder: Encoder, prepared: list[torch.Tensor]) -> None:
    for i in range(0, len(prepared), BATCH):
        encoder.embed_images(prepared[i : i + BATCH])


def random_weights(work: Path) -> EncoderSpec:
    """A checkpoint of NAME with random weights: it times exactly like a trained one."""
    import open_clip

    path = work / "random.safetensors"
    save_file({k: v.contiguous() for k, v in open_clip.create_model(NAME).state_dict().items()}, path)
    return identify(NAME, str(path))


def make_photos(folder: Path, count: int = 200) -> Path:
    folder.mkdir()
    for i, portrait in enumerate(sample(min(count, 200), 5)):
        image = draw(portrait).resize((500, 375), Image.Resampling.BICUBIC).filter(ImageFilter.SHARPEN)
        for copy in range(i, count, 200):
            image.save(folder / f"{copy:05d}.jpg", quality=90, comment=f"{copy}")
    return folder


if __name__ == "__main__":
    main()
