"""Small data sets of the same 24 portraits in every shape that fsearch reads, written by the libraries of the field."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from PIL import Image
from pycocotools.coco import COCO

from fsearch.data.portraits import draw, sample

COUNT = 24
CLASSES = ("plain", "fancy")


@cache
def portraits() -> tuple[Image.Image, ...]:
    return tuple(draw(p) for p in sample(COUNT, 11))


def label(i: int) -> str:
    return CLASSES[i % 3 == 0]


def year(i: int) -> int:
    return 2000 + i


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def name(i: int) -> str:
    return f"{i:03d}.png"


def files(root: Path) -> Path:
    folder = root / "photos"
    folder.mkdir(parents=True)
    for i, image in enumerate(portraits()):
        (folder / name(i)).write_bytes(png(image))
    return folder


def folder(root: Path) -> dict[str, Any]:
    return {"held": files(root)}


def imagefolder(root: Path) -> dict[str, Any]:
    for i, image in enumerate(portraits()):
        path = root / "classes" / label(i) / name(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
    return {"held": root / "classes", "kind": "imagefolder"}


def remote_imagefolder(root: Path) -> dict[str, Any]:
    """On fsspec's file system in memory, which is one for the whole process."""
    files = fsspec.filesystem("memory")
    for i, image in enumerate(portraits()):
        files.pipe_file(f"{root}/classes/{label(i)}/{name(i)}", png(image))
    return {"held": f"memory://{root}/classes/", "kind": "imagefolder"}


def rows() -> dict[str, list[Any]]:
    return {"label": [label(i) for i in range(COUNT)], "year": [year(i) for i in range(COUNT)]}


def csv_manifest(root: Path) -> dict[str, Any]:
    files(root)
    lines = [f"photos/{name(i)},{label(i)},{year(i)}" for i in range(COUNT)]
    (root / "photos.csv").write_text("path,label,year\n" + "\n".join(lines) + "\n")
    return {"held": root / "photos.csv"}


def jsonl_manifest(root: Path) -> dict[str, Any]:
    photos = files(root)
    lines = [json.dumps({"image": name(i), "label": label(i), "year": year(i)}) for i in range(COUNT)]
    (root / "photos.jsonl").write_text("\n".join(lines) + "\n")
    return {"held": root / "photos.jsonl", "root": photos}


def parquet_paths(root: Path) -> dict[str, Any]:
    files(root)
    table = pa.table({"file_name": [f"photos/{name(i)}" for i in range(COUNT)], **rows()})
    pq.write_table(table, root / "photos.parquet")
    return {"held": root / "photos.parquet"}


def parquet_bytes(root: Path) -> dict[str, Any]:
    root.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": [name(i) for i in range(COUNT)], "png": [png(p) for p in portraits()], **rows()})
    pq.write_table(table, root / "photos.parquet", row_group_size=10)
    return {"held": root / "photos.parquet"}


def features() -> datasets.Features:
    return datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(CLASSES)),
            "year": datasets.Value("int32"),
        }
    )


def hugging_face() -> datasets.Dataset:
    made = {"image": portraits(), "label": [CLASSES.index(label(i)) for i in range(COUNT)], "year": rows()["year"]}
    return datasets.Dataset.from_dict(made, features=features())


def hf_parquet(root: Path) -> dict[str, Any]:
    (root / "data").mkdir(parents=True)
    made = hugging_face()
    made.select(range(10)).to_parquet(root / "data" / "train-00000-of-00002.parquet")
    made.select(range(10, COUNT)).to_parquet(root / "data" / "train-00001-of-00002.parquet")
    return {"held": root / "data"}


def hf_saved(root: Path) -> dict[str, Any]:
    hugging_face().save_to_disk(root / "saved")
    return {"held": root / "saved"}


def hf_splits(root: Path) -> dict[str, Any]:
    made = hugging_face()
    both = datasets.DatasetDict({"train": made.select(range(10)), "test": made.select(range(10, COUNT))})
    both.save_to_disk(root / "splits")
    return {"held": root / "splits"}


def shards(root: Path) -> dict[str, Any]:
    (root / "shards").mkdir(parents=True)
    with webdataset.ShardWriter(str(root / "shards" / "%03d.tar"), maxcount=10, verbose=0) as sink:
        for i, image in enumerate(portraits()):
            sample = {"__key__": f"{i:03d}", "png": image, "cls": label(i), "json": {"year": year(i)}}
            sink.write(sample | {"cls": label(i).encode()})
    return {"held": str(root / "shards" / "{000..002}.tar")}


def coco(root: Path) -> dict[str, Any]:
    files(root)
    made = COCO()
    made.dataset = {
        "images": [{"id": 100 + i, "file_name": name(i), "width": 64, "height": 64} for i in range(COUNT)],
        "annotations": [
            {"id": i, "image_id": 100 + i, "category_id": 1, "bbox": [8, 8, 40, 40], "area": 1600, "iscrowd": 0}
            for i in range(1, COUNT)
        ],
        "categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "hat"}],
    }
    (root / "coco.json").write_text(json.dumps(made.dataset))
    return {"held": root / "coco.json", "root": root / "photos"}


def zipped(root: Path) -> dict[str, Any]:
    photos = files(root)
    with zipfile.ZipFile(root / "photos.zip", "w") as archive:
        for path in sorted(photos.iterdir()):
            archive.write(path, f"in/{path.name}")
    shutil.rmtree(photos)
    return {"held": root / "photos.zip"}


def tarred(root: Path, kind: str = "tar") -> dict[str, Any]:
    photos = files(root)
    mode: Any = "w:gz" if kind == "tgz" else "w"
    with tarfile.open(root / f"photos.{kind}", mode) as archive:
        archive.add(photos, "in")
    shutil.rmtree(photos)
    return {"held": root / f"photos.{kind}"}


def tarred_and_packed(root: Path) -> dict[str, Any]:
    return tarred(root, "tgz")


class Torch:
    """A torch-style data set: a length, and (image, class number) by index."""

    classes = CLASSES

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        return portraits()[i], CLASSES.index(label(i))


def torch_dataset(root: Path) -> dict[str, Any]:
    import torch

    class Held(Torch, torch.utils.data.Dataset):  # type: ignore[type-arg]
        pass

    return {"held": Held()}


def torch_by_name(root: Path) -> dict[str, Any]:
    root.mkdir(parents=True, exist_ok=True)
    (root / "my_data.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from made_sources import Torch\n"
        "faces = Torch()\n"
    )
    return {"held": "my_data:faces"}


def in_memory(root: Path) -> dict[str, Any]:
    return {"held": {name(i): image for i, image in enumerate(portraits())}, "name": "mine"}


MADE: dict[str, Callable[[Path], dict[str, Any]]] = {
    "folder": folder,
    "imagefolder": imagefolder,
    "remote imagefolder": remote_imagefolder,
    "csv": csv_manifest,
    "jsonl": jsonl_manifest,
    "parquet of paths": parquet_paths,
    "parquet of bytes": parquet_bytes,
    "hugging face parquet": hf_parquet,
    "hugging face saved": hf_saved,
    "hugging face splits": hf_splits,
    "webdataset": shards,
    "coco": coco,
    "zip": zipped,
    "tar": tarred,
    "tgz": tarred_and_packed,
    "torch dataset": torch_dataset,
    "torch dataset by name": torch_by_name,
    "in memory": in_memory,
}
