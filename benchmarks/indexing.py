"""Index throughput with ViT-B-32 (random weights) beside the bare open_clip forward pass on ready-made batches.

    python -m benchmarks.indexing --photos FOLDER

Without --photos it makes 200 JPEG files of 500 x 375 pixels. Decoding, hashing, preprocessing, shards, catalog and
index are all inside fsearch's time; the bare pass starts from prepared tensors.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import torch
from benchmarks.measure import machine, paired
from PIL import Image, ImageFilter
from safetensors.torch import save_file

from fsearch.data.portraits import draw, sample
from fsearch.indexer.embedding.batch_sizes import BATCH
from fsearch.indexer.embedding.encoder import Encoder, identify, load_encoder
from fsearch.indexer.embedding.pipeline import index_images, local_engine
from fsearch.indexer.sources.decode import decode
from fsearch.indexer.sources.folder import Folder
from fsearch.indexer.workspace.encoder_spec import EncoderSpec
from fsearch.indexer.workspace.store import Store

REPEATS = 3
NAME = "ViT-B-32"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path)
    photos = parser.parse_args().photos
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        measure(work, photos or make_photos(work / "photos"), given=photos is not None)


def measure(work: Path, photos: Path, *, given: bool) -> None:
    spec = random_weights(work)
    encoder = load_encoder(spec, "cpu")
    files = list(Folder(photos).items())
    prepared = [encoder.prepare(decode(f.read())) for f in files]
    runs = iter(range(1000))

    def ours() -> None:
        root = work / f"run{next(runs)}"
        store = Store.create(root, spec)
        with store.writer():
            index_images(store, local_engine(lambda: encoder), Folder(photos))
        shutil.rmtree(root)

    def bare() -> None:
        forward(encoder, prepared)

    bare()
    mine, alone, ratio = paired(ours, bare, REPEATS)
    kind = "photographs" if given else "JPEG files made for this"
    print(f"indexing: {len(files)} {kind}, {NAME}, batches of {BATCH}, median of {REPEATS} ({machine()})")
    print(
        f"  fsearch {len(files) / mine:.1f} images/s, bare forward {len(files) / alone:.1f} images/s, ratio {ratio:.2f}"
    )


def forward(encoder: Encoder, prepared: list[torch.Tensor]) -> None:
    for i in range(0, len(prepared), BATCH):
        encoder.embed_images(prepared[i : i + BATCH])


def random_weights(work: Path) -> EncoderSpec:
    """A checkpoint of NAME with random weights: it times exactly like a trained one."""
    import open_clip

    path = work / "random.safetensors"
    save_file({k: v.contiguous() for k, v in open_clip.create_model(NAME).state_dict().items()}, path)
    return identify(NAME, str(path))


def make_photos(folder: Path) -> Path:
    folder.mkdir()
    for i, portrait in enumerate(sample(200, 5)):
        image = draw(portrait).resize((500, 375), Image.Resampling.BICUBIC).filter(ImageFilter.SHARPEN)
        image.save(folder / f"{i:03d}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    main()
