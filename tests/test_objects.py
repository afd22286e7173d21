"""Data sets of objects and detections in every form: the same images, objects and losses, whoever wrote the files."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_sources import portraits
from PIL import Image

import fsearch
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.frame import Frame, turned_box, turned_mask
from fsearch.search.workspace import Workspace

COUNT = 6
SIDE = 64
NAMES = [f"{i:06d}.png" for i in range(1, COUNT + 1)]
BOXES = [[4 + i, 6, 30, 20 + i] for i in range(COUNT)]
CLASSES = ("person", "hat")


def category(i: int) -> int:
    """1 or 2."""
    return i % 2 + 1


def photos(folder: str) -> Path:
    path = Path(folder)
    path.mkdir(parents=True)
    for name, image in zip(NAMES, portraits(), strict=False):
        image.resize((SIDE, SIDE)).save(path / name)
    return path


def coco(**changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": n, "width": SIDE, "height": SIDE} for i, n in enumerate(NAMES)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": category(i), "bbox": box, "area": 600, "iscrowd": 0}
            for i, box in enumerate(BOXES)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)],
        **changes,
    }


def edited(list_name: str, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    found = copy.deepcopy(coco())
    for entry in found[list_name]:
        change(entry)
    return found


def write(path: str, content: Any) -> str:
    Path(path).write_text(json.dumps(content))
    return path


def results(**changes: Any) -> list[dict[str, Any]]:
    """A perfect detector, but that it takes the last image's category for another."""
    return [
        {"image_id": i, "category_id": category(i) if i < COUNT - 1 else 1, "bbox": box, "score": 0.9, **changes}
        for i, box in enumerate(BOXES)
    ]


TRUE = [0.0] * (COUNT - 1) + [1.0]  # the losses of `results`


def losses(ws: Workspace, model: str = "m") -> list[float]:
    query = f"SELECT loss FROM losses JOIN images USING (image_id) WHERE model = '{model}' ORDER BY key"
    return ws.sql(query)["loss"].to_pylist()


def moved(entry: dict[str, Any], name: str) -> None:
    entry["file_name"] = name.format(entry["file_name"])


VARIANTS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": coco,
    "image ids of annotations as text": lambda: edited("annotations", lambda a: a.update(image_id=str(a["image_id"]))),
    "image ids as text": lambda: edited("images", lambda i: i.update(id=str(i["id"]))),
    "whole floats": lambda: edited(
        "annotations", lambda a: a.update(category_id=float(a["category_id"]), image_id=a["image_id"] + 0.0)
    ),
    "categories as text": lambda: edited("categories", lambda c: c.update(id=str(c["id"]))),
    "sizes as text": lambda: edited("images", lambda i: i.update(width=str(SIDE), height=f"{SIDE}")),
    "no sizes": lambda: edited("images", lambda i: (i.pop("width"), i.pop("height"))),
    "crowds as booleans": lambda: edited("annotations", lambda a: a.update(iscrowd=False)),
    "LVIS: a URL and no file name": lambda: edited(
        "images", lambda i: i.update(coco_url=f"http://images.cocodataset.org/val2017/{i.pop('file_name')}")
    ),
    "Objects365: folders of its own": lambda: edited("images", lambda i: moved(i, "images/v1/patch8/{}")),
    "Label Studio: an upload's path": lambda: edited("images", lambda i: moved(i, "/data/upload/1/{}")),
    "Label Studio: above its folder": lambda: edited("images", lambda i: moved(i, "../../media/upload/1/{}")),
    "CVAT on Windows": lambda: edited("images", lambda i: moved(i, "subset\\{}")),
    "a file URL": lambda: edited("images", lambda i: moved(i, "file:///mnt/x/{}")),
    "Roboflow: a category that is nobody's": lambda: coco(
        categories=[{"id": 0, "name": "things"}, *coco()["categories"]]
    ),
    "polygons without boxes": lambda: edited(
        "annotations",
        lambda a: a.update(
            segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h] for x, y, w, h in [a.pop("bbox")]],
        ),
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_coco_is_the_same_data_set(variant: str) -> None:
    photos("photos")
    path = write("photos/gt.json", VARIANTS[variant]())
    ws = fsearch.open("w")
    report = ws.index(path)
    assert (report.found, report.embedded, report.notes) == (COUNT, COUNT, ())
    found = ws.sql(
        "SELECT key, objects, categories FROM metadata JOIN images USING (image_id) ORDER BY key"
    ).to_pylist()
    assert [f["key"] for f in found] == NAMES
    assert [f["categories"] for f in found] == [[CLASSES[category(i) - 1]] for i in range(COUNT)]
    said = ws.losses.add("m", predictions=write("r.json", results()), task="detection-f1", target=path)
    assert (said.added, losses(ws)) == (COUNT, TRUE)


def test_captions_come_along() -> None:
    photos("photos")
    said = [{"id": i, "image_id": i // 2, "caption": f"caption {i}"} for i in range(2 * COUNT)]
    ws = fsearch.open("w")
    assert ws.index(write("photos/captions.json", coco(annotations=said, categories=[]))).embedded == COUNT
    found = ws.sql("SELECT captions, objects FROM metadata JOIN images USING (image_id) ORDER BY key").to_pylist()
    assert found[1] == {"captions": ["caption 2", "caption 3"], "objects": 0}


def test_annotations_of_images_that_are_not_listed_are_counted() -> None:
    photos("photos")
    said = coco()
    said["annotations"] += [{"id": 90, "image_id": 999, "category_id": 1, "bbox": [0, 0, 1, 1]}]
    report = fsearch.open("w").index(write("photos/gt.json", said))
    assert report.notes == ("1 annotations are of images that the file does not list, and are left out",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [{"id": True, "file_name": "a.png"}]}, "images 1: 'id' and 'file_name' are needed"),
        ({"images": [{"id": 1.5, "file_name": "a.png"}]}, "images 1: 'id' and 'file_name' are needed"),
        ({"images": [{"id": 1}]}, "images 1: 'id' and 'file_name' are needed"),
        ({"images": [{"id": 1, "file_name": "../x.png"}]}, "lies outside"),
        ({"images": ["x"]}, "images 1: it must be an object"),
        (coco(annotations=[{"category_id": 1}]), "annotations 1: 'image_id' is needed"),
        (coco(annotations=[{"image_id": 1}]), "annotations 1: 'image_id' and 'category_id' are needed"),
        (coco(annotations=[{"image_id": 1, "category_id": "cat"}]), "'image_id' and 'category_id' are needed"),
        (coco(categories=[{"name": "x"}]), "categories 1: 'id' is needed, a whole number"),
        (coco(annotations={}), None),
        (coco(annotations={"a": 1}), "'annotations' must be a list"),
    ],
)
def test_what_is_no_coco_is_one_line(content: Any, message: str | None) -> None:
    photos("photos")
    path = write("photos/gt.json", content)
    if message is None:
        assert fsearch.open("w").index(path).embedded == COUNT
        return
    with pytest.raises(BadInputError, match=message):
        fsearch.open("w").index(path)


def yolo(folder: str, config: str | None = None, split: str = "images/val") -> Path:
    """A YOLO data set: label files with centre, width and height as shares; the last image has none."""
    root = Path(folder)
    images = photos(f"{folder}/{split}")
    labels = Path(str(images).replace("images", "labels"))
    labels.mkdir(parents=True)
    for i, (x, y, w, h) in enumerate(BOXES[:-1]):
        line = f"{category(i) - 1} {(x + w / 2) / SIDE} {(y + h / 2) / SIDE} {w / SIDE} {h / SIDE}\n"
        (labels / NAMES[i].replace("png", "txt")).write_text(line)
    if config is not None:
        (root / "data.yaml").write_text(config)
    return root


YAMLS = {
    "names as a mapping": "path: .\nval: images/val\nnames:\n  0: person\n  1: hat\n",
    "names as a list": "train: images/val\nval: images/val\nnc: 2\nnames: [person, hat]\n",
    "Roboflow's way up": "val: ../images/val\nnc: 2\nnames: ['person', 'hat']\n",
    "a path of another machine": "path: /content/datasets/x\nval: images/val\nnames: [person, hat]\n",
    "a list of files": "val: val.txt\nnames: [person, hat]\n",
}


@pytest.mark.parametrize("config", YAMLS)
def test_a_yolo_folder_is_a_data_set_and_the_ground_truth(config: str) -> None:
    root = yolo("data", YAMLS[config])
    (root / "val.txt").write_text("".join(f"./images/val/{n}\n" for n in NAMES))
    ws = fsearch.open("w")
    report = ws.index(root)
    assert (report.found, report.embedded) == (COUNT, COUNT)
    assert report.notes == ("1 images have no file of labels, and count as without objects",)
    found = ws.sql("SELECT * FROM metadata JOIN images USING (image_id) ORDER BY key").to_pylist()
    assert [f["key"] for f in found] == [f"images/val/{n}" for n in NAMES]
    assert [f["objects"] for f in found] == [1] * (COUNT - 1) + [0]
    assert [f["categories"] for f in found[:2]] == [["person"], ["hat"]]
    assert {f["split"] for f in found} == {"train" if "train" in YAMLS[config] else "val"}
    assert fsearch.images(root / "data.yaml").source.keys() == fsearch.images(root).source.keys()
    said = [
        {"image_id": int(n[:6]), "category_id": category(i) - 1, "bbox": BOXES[i], "score": 0.9}
        for i, n in enumerate(NAMES)
    ]
    report = ws.losses.add("m", predictions=write("predictions.json", said[:-1]), task="lrp", target=str(root))
    assert report.added == COUNT
    np.testing.assert_allclose(losses(ws), 0, atol=1e-6)


def test_what_a_yolo_data_set_lists_and_has_not_is_said() -> None:
    root = yolo("data", "train: images/train\nval: val.txt\nnames: [person, hat]\n")
    (root / "val.txt").write_text("".join(f"./images/val/{n}\n" for n in ["gone.png", *NAMES]))
    report = fsearch.open("w").index(root)
    assert report.embedded == COUNT
    assert report.notes[1] == "2 folders, lists or images that it names are not there, the first 'images/train'"


def labels_with_scores(folder: str, names: list[str] = NAMES) -> str:
    """What Ultralytics writes with save_txt and save_conf."""
    Path(folder).mkdir()
    for i, name in enumerate(names):
        x, y, w, h = BOXES[i]
        number = category(i) - 1 if i < COUNT - 1 else 0
        line = f"{number} {(x + w / 2) / SIDE:.6g} {(y + h / 2) / SIDE:.6g} {w / SIDE:.6g} {h / SIDE:.6g} 0.9\n"
        Path(folder, name).with_suffix(".txt").write_text(line)
    return folder


def corners(i: int) -> list[float]:
    x, y, w, h = BOXES[i]
    return [x, y, x + w, y + h]


def mmdet(folder: str) -> str:
    """What MMDetection's DetInferencer writes into preds/."""
    Path(folder).mkdir()
    for i, name in enumerate(NAMES):
        number = category(i) - 1 if i < COUNT - 1 else 0
        write(f"{folder}/{name[:-4]}.json", {"labels": [number], "scores": [0.9], "bboxes": [corners(i)]})
    return folder


def torchvision(path: str, *, names: bool = False, as_list: bool = False) -> str:
    """Outputs of a torchvision detector, by image id or file name."""
    found: dict[Any, Any] = {
        NAMES[i] if names else i: {
            "boxes": torch.tensor([corners(i)]),
            "labels": torch.tensor([category(i) if i < COUNT - 1 else 1]),
            "scores": torch.tensor([0.9]),
        }
        for i in range(COUNT)
    }
    held: Any = [{"image_id": torch.tensor(k), **v} for k, v in found.items()] if as_list else found
    if path.endswith(".json"):
        held = {k: {n: t.tolist() for n, t in v.items()} for k, v in found.items()}
        return write(path, held)
    torch.save(held, path)
    return path


DETECTIONS: dict[str, Callable[[], str]] = {
    "COCO results": lambda: write("r.json", results()),
    "COCO results, ids as text": lambda: write("r.json", [r | {"image_id": str(r["image_id"])} for r in results()]),
    "COCO results by file name": lambda: write(
        "r.json",
        [{k: v for k, v in r.items() if k != "image_id"} | {"file_name": NAMES[r["image_id"]]} for r in results()],
    ),
    "COCO results by stem, as Ultralytics": lambda: write(
        "r.json", [r | {"image_id": NAMES[r["image_id"]][:-4]} for r in results()]
    ),
    "Ultralytics' label files": lambda: labels_with_scores("labels"),
    "MMDetection's preds": lambda: mmdet("preds"),
    "torchvision by id": lambda: torchvision("t.pt"),
    "torchvision by file name": lambda: torchvision("t.pt", names=True),
    "torchvision, a list": lambda: torchvision("t.pth", as_list=True),
    "torchvision as JSON": lambda: torchvision("t.json"),
}


@pytest.fixture
def indexed() -> Workspace:
    photos("photos")
    ws = fsearch.open("w")
    ws.index(write("photos/gt.json", coco()))
    return ws


def test_detections_of_every_form_give_the_same_losses(indexed: Workspace) -> None:
    for i, (form, make) in enumerate(DETECTIONS.items()):
        report = indexed.losses.add(f"m{i}", predictions=make(), task="detection-f1", target="photos/gt.json")
        assert (report.added, losses(indexed, f"m{i}")) == (COUNT, TRUE), form
        if form in ("Ultralytics' label files", "MMDetection's preds"):
            assert report.notes == ("classes of the detections by number: 0 is 'person', 1 is 'hat'",)


def test_numbers_of_classes_that_count_from_one_are_told_by_the_objects() -> None:
    root = yolo("data", YAMLS["names as a list"])
    ws = fsearch.open("w")
    ws.index(root)
    from_one = [
        {"image_id": n[:-4], "category_id": category(i), "bbox": BOXES[i], "score": 0.9} for i, n in enumerate(NAMES)
    ]
    how: dict[str, Any] = {"task": "detection-f1", "target": str(root)}
    report = ws.losses.add("m", predictions=write("p.json", from_one[:-1]), **how)
    assert losses(ws) == [0.0] * COUNT
    assert report.notes == ("classes of the detections by number: 1 is 'person', 2 is 'hat'",)
    only_ones = [d | {"category_id": 1} for d in from_one[:4]]
    with pytest.raises(BadInputError, match="may count classes from 0 or from 1, and the objects do not tell"):
        ws.losses.add("m", predictions=write("p.json", only_ones), **how)


def voc(folder: str) -> Path:
    root = Path(folder)
    photos(f"{folder}/JPEGImages")
    (root / "Annotations").mkdir()
    for i, name in enumerate(NAMES):
        left, top, right, bottom = corners(i)
        (root / "Annotations" / name.replace("png", "xml")).write_text(
            f"<annotation><folder>VOC</folder><filename>{name}</filename><size><width>{SIDE}</width><height>{SIDE}"
            f"</height><depth>3</depth></size><object><name>{CLASSES[category(i) - 1]}</name><difficult>0</difficult>"
            f"<bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>"
            "</object></annotation>"
        )
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "val.txt").write_text("\n".join(n[:-4] for n in NAMES))
    return root


def test_a_pascal_voc_folder_is_a_data_set_and_the_ground_truth() -> None:
    root = voc("VOC2012")
    ws = fsearch.open("w")
    report = ws.index(root)
    assert (report.found, report.embedded, report.notes) == (COUNT, COUNT, ())
    found = ws.sql("SELECT * FROM metadata JOIN images USING (image_id) ORDER BY key").to_pylist()
    assert [f["categories"] for f in found[:2]] == [["person"], ["hat"]]
    assert {f["split"] for f in found} == {"val"}
    by_name = [
        {"image_id": NAMES[i][:-4], "category_id": CLASSES[category(i) - 1], "bbox": BOXES[i], "score": 0.9}
        for i in range(COUNT)
    ]
    how: dict[str, Any] = {"task": "lrp", "target": str(root)}
    ws.losses.add("m", predictions=write("p.json", by_name), **how)
    np.testing.assert_allclose(losses(ws), 0, atol=1e-9)
    numbered = mmdet("preds")
    with pytest.raises(BadInputError, match=r"class 0 has no name, and the ground truth has only names; .* --classes"):
        ws.losses.add("m", predictions=numbered, **how)
    ws.losses.add("m", predictions=numbered, classes=CLASSES, **(how | {"task": "detection-f1"}))
    assert losses(ws) == TRUE
    Image.new("RGB", (9, 9)).save(root / "JPEGImages" / "unlabelled.png")
    report = ws.index(root)
    assert (report.found, report.notes) == (COUNT, ("1 images have no file of objects, and are left out",))
    first = root / "Annotations" / NAMES[0].replace("png", "xml")
    sound = first.read_text()
    first.write_text(sound[:40])
    with pytest.raises(BadInputError, match="is no XML"):  # and not a plain folder of images
        ws.index(root)
    first.write_text(sound)
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><annotation><filename>&a;</filename></annotation>'
    (root / "Annotations" / NAMES[3].replace("png", "xml")).write_text(bomb)
    with pytest.raises(BadInputError, match="is no Pascal VOC file: it is empty, too large, or declares entities"):
        ws.index(root)


def test_boxes_over_the_edge_are_cut_and_counted(indexed: Workspace) -> None:
    said = coco()
    said["annotations"][3]["bbox"] = [-20, 10, 90, 120]  # a full body, as CrowdHuman marks it
    found = results()
    found[3]["bbox"] = [-6.5, 10, 90, 54.4]  # a detector that does not clip
    how: dict[str, Any] = {"task": "lrp", "target": write("photos/out.json", said)}
    report = indexed.losses.add("m", predictions=write("r.json", found), **how)
    assert report.notes == ("2 boxes stick out of their images and were cut at the edge",)
    assert losses(indexed)[3] == pytest.approx(0, abs=1e-9)


def test_images_of_the_ground_truth_that_are_not_indexed_are_counted(indexed: Workspace) -> None:
    said = coco()
    said["images"].append({"id": 77, "file_name": "elsewhere.png", "width": 9, "height": 9})
    target = write("photos/more.json", said)
    more = [*results(), {"image_id": 77, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]
    report = indexed.losses.add("m", predictions=write("r.json", more), task="detection-f1", target=target)
    assert report.notes == ("1 images of r.json are not among the indexed ones",)
    unknown = [*more, {"image_id": 78, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]
    with pytest.raises(BadInputError, match="image id 78 is not in the ground truth"):
        indexed.losses.add("m", predictions=write("r.json", unknown), task="detection-f1", target=target)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: write("r.json", [{"boxes": [], "labels": [], "scores": []}]), "does not say of which image it is"),
        (lambda: write("r.json", {"0": {"boxes": [[1, 2, 3]], "labels": [1], "scores": [1]}}), "are needed"),
        (lambda: write("r.json", {"0": {"boxes": [[1, 2, 3, 4]], "labels": [], "scores": [1]}}), "equally long"),
        (lambda: write("r.json", [3]), "detection 1: it must be an object"),
        (lambda: write("r.json", "x"), "is no COCO results file"),
        (lambda: write("r.json", results(score=float("nan"))), "image id 0, prediction, box 1: 'score' is not finite"),
        (lambda: write("r.json", results(score=float("inf"))), "image id 0, prediction, box 1: 'score' is not finite"),
        (lambda: write("r.json", []), "r.json holds no detection"),
        (lambda: write("r.json", results(category_id=9)), "category 9 is not in the ground truth"),
        (lambda: write("r.json", results(category_id="dog")), "category 'dog' is not in the ground truth"),
        (lambda: write("r.pkl", ""), "is a pickle, which would run code; with MMDetection write JSON"),
        (lambda: write("r.pt", ""), "cannot be loaded: save plain dictionaries"),
    ],
)
def test_detections_that_cannot_be_used(make: Callable[[], str], message: str, indexed: Workspace) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        indexed.losses.add("m", predictions=make(), task="detection-f1", target="photos/gt.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", ["detections", "ground truth"])
def test_boxes_in_shares_of_the_image_are_not_taken_for_pixels(side: str, indexed: Workspace) -> None:
    found, said = results(), coco()
    for box in found if side == "detections" else said["annotations"]:
        box["bbox"] = [v / SIDE for v in box["bbox"]]
    how: dict[str, Any] = {"task": "detection-f1", "target": write("photos/shares.json", said)}
    with pytest.raises(BadInputError, match=r"r.json: on none of \d+ images does a box meet one of the ground truth"):
        indexed.losses.add("m", predictions=write("r.json", found), **how)


def test_label_files_without_confidence_say_so(indexed: Workspace) -> None:
    labels_with_scores("labels")
    for path in Path("labels").iterdir():
        path.write_text(path.read_text().replace(" 0.9\n", "\n"))
    with pytest.raises(BadInputError, match="ends with no confidence; write them with save_conf=True"):
        indexed.losses.add("m", predictions="labels", task="detection-f1", target="photos/gt.json")


@pytest.mark.parametrize("confidence", ["", " 0.9"])
def test_the_number_of_a_track_is_no_confidence(confidence: str, indexed: Workspace) -> None:
    labels_with_scores("labels")
    for track, path in enumerate(sorted(Path("labels").iterdir()), start=2):
        path.write_text(path.read_text().replace(" 0.9\n", f"{confidence} {track}\n"))
    with pytest.raises(BadInputError, match=r"000001.txt row 1 ends with no confidence.*; not of a track"):
        indexed.losses.add("m", predictions="labels", task="detection-f1", target="photos/gt.json")


def find_red(images: list[Image.Image]) -> list[list[dict[str, Any]]]:
    """A perfect detector of the one red square, and so of where it is seen."""
    found = []
    for image in images:
        pixels = np.asarray(image).astype(int)
        ys, xs = np.nonzero((pixels[..., 0] > 150) & (pixels[..., 1] < 90))
        box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
        found.append([{"category_id": 1, "bbox": box, "score": 0.9}])
    return found


def red_mask(images: list[Image.Image]) -> list[np.ndarray]:
    return [((np.asarray(i).astype(int)[..., 0] > 150) & (np.asarray(i)[..., 1] < 90)).astype(int) for i in images]


def turned_photos(*, square: bool = False) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """One photo of each orientation with a red square, their COCO images, and boxes on the stored pixels."""
    Path("photos").mkdir()
    width, height = (96, 96) if square else (96, 80)
    listed, boxes = [], []
    for i in range(8):
        image = Image.new("RGB", (width, height), (20, 20, 20 + i))
        box = [8 + 2 * i, 10, 24, 16]
        image.paste((255, 0, 0), (box[0], box[1], box[0] + box[2], box[1] + box[3]))
        exif = Image.Exif()
        exif[0x0112] = i + 1
        image.save(f"photos/{i}.png", exif=exif)
        listed.append({"id": i, "file_name": f"{i}.png", "width": width, "height": height})
        boxes.append(box)
    return listed, boxes


@pytest.mark.parametrize("square", [False, True])
def test_boxes_turn_with_the_photos(square: bool) -> None:
    listed, boxes = turned_photos(square=square)
    said = coco(
        images=listed, annotations=[{"id": i, "image_id": i, "category_id": 1, "bbox": b} for i, b in enumerate(boxes)]
    )
    path = write("photos/gt.json", said)
    ws = fsearch.open("w")
    ws.index(path)
    ws.losses.add("m", black_box=find_red, task="lrp", target=path)
    np.testing.assert_allclose(losses(ws), 0, atol=1e-9)
    files = [{"image_id": i, "category_id": 1, "bbox": b, "score": 0.9} for i, b in enumerate(boxes)]
    ws.losses.add("m", predictions=write("r.json", files), task="lrp", target=path)  # both on the stored pixels
    np.testing.assert_allclose(losses(ws), 0, atol=1e-9)


def test_boxes_on_the_upright_photos_are_told_by_their_sizes() -> None:
    listed, boxes = turned_photos()
    stored = (96, 80)
    for i, entry in enumerate(listed):
        if i + 1 >= 5:
            entry |= {"width": 80, "height": 96}
            boxes[i] = turned_box(boxes[i], i + 1, stored)  # type: ignore[call-overload]
    path = write(
        "photos/gt.json",
        coco(
            images=listed,
            annotations=[{"id": i, "image_id": i, "category_id": 1, "bbox": b} for i, b in enumerate(boxes)],
        ),
    )
    ws = fsearch.open("w")
    ws.index(path)
    ws.losses.add("m", black_box=find_red, task="lrp", target=path)
    np.testing.assert_allclose(losses(ws), 0, atol=1e-9)


def test_masks_turn_with_the_photos() -> None:
    _, boxes = turned_photos()
    Path("masks").mkdir()
    for i, (x, y, w, h) in enumerate(boxes):
        mask = np.zeros((80, 96), np.uint8)
        mask[y : y + h, x : x + w] = 1
        Image.fromarray(mask).save(f"masks/{i}.png")
    ws = fsearch.open("w")
    ws.index("photos")
    ws.losses.add("m", black_box=red_mask, task="dice", target="masks")
    np.testing.assert_allclose(losses(ws), 0, atol=1e-9)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turns_are_pillow_s(orientation: int) -> None:
    from PIL import ImageOps

    mask = np.arange(48, dtype=np.uint8).reshape(6, 8)
    image = Image.fromarray(mask)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turned_mask(mask, orientation), expected)
    box = [1, 2, 3, 2]
    x, y, w, h = map(int, turned_box(box, orientation, (8, 6)))
    assert set(expected[y : y + h, x : x + w].ravel()) == set(mask[2:4, 1:4].ravel())


def test_boxes_are_reduced_with_the_image_unless_they_are_on_another_copy() -> None:
    frame, box = Frame(1, (200, 100), (100, 50)), [{"bbox": [40, 20, 8, 4]}]
    assert frame.objects(200, 100, box) == frame.objects(None, None, box) == (100, 50, [{"bbox": [20, 10, 4, 2]}])
    assert frame.objects(400, 200, box) == (400, 200, box)
    turned = Frame(6, (100, 200), (100, 200))
    assert turned.objects(400, 200, box) == (200, 400, [{"bbox": turned_box([40, 20, 8, 4], 6, (400, 200))}])
