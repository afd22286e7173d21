"""Index runs: incremental truth, quarantine, and a process that is really killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import Planted

import fsearch
from fsearch.indexer.embedding.encoder import Encoder
from fsearch.indexer.embedding.open_clip_encoder import OpenClipEncoder
from fsearch.indexer.errors import BadInputError, EncoderError
from fsearch.indexer.sources.decode import decode
from fsearch.indexer.workspace.store import Store


def rows(root: str, query: str) -> list[tuple[object, ...]]:
    table = fsearch.open(root).sql(query)
    return [tuple(r.values()) for r in table.to_pylist()]


def check_whole(root: Path, encoder: Encoder, folder: Path, expected: int) -> None:
    """Every committed image is there once, its vector equals a fresh embedding, and catalog, shards and index agree."""
    store = Store.open(root)
    with store.writer():
        index = store.sync_index()
    vectors = store.vectors()[:]
    assert index.rows == len(vectors)
    found = rows(str(root), "SELECT key, row, count(*) OVER (PARTITION BY key) FROM images ORDER BY key")
    assert len(found) == expected
    assert {n for *_, n in found} == {1}
    for key, row, _ in found[:: max(1, expected // 12)]:
        fresh = encoder.embed_images([encoder.prepare(decode((folder / str(key)).read_bytes()))])[0]
        np.testing.assert_allclose(vectors[int(row)], fresh, atol=2e-3)  # type: ignore[call-overload]


def test_a_second_run_does_no_work_twice(few: Planted, encoder: Encoder) -> None:
    ws = fsearch.open("w")
    first = ws.index(few.folder, few.losses)
    assert (first.found, first.embedded, first.losses) == (60, 60, 60)
    again = ws.index(few.folder, few.losses)
    assert (again.embedded, again.unchanged, again.losses) == (0, 60, 60)
    check_whole(Path("w"), encoder, few.folder, 60)


def test_added_changed_renamed_and_removed_files(few: Planted, encoder: Encoder) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    Image.new("RGB", (50, 50), "teal").save(few.folder / "new.jpg")
    Image.new("RGB", (96, 96), "maroon").save(few.folder / "003.png")
    (few.folder / "004.png").rename(few.folder / "renamed.png")
    (few.folder / "005.png").unlink()
    report = ws.index(few.folder)
    assert (report.embedded, report.duplicates, report.changed, report.missing, report.renamed) == (2, 0, 1, 1, 1)
    gone = rows("w", "SELECT key FROM images WHERE status = 'missing' ORDER BY key")
    assert gone == [("005.png",)]
    assert rows("w", "SELECT count(*) FROM losses JOIN images USING (image_id) WHERE key = 'renamed.png'") == [(1,)]
    assert rows("w", "SELECT count(*) FROM losses JOIN images USING (image_id) WHERE key = '003.png'") == [(0,)]
    assert rows("w", "SELECT count(*) FROM images WHERE key = '004.png'") == [(0,)]
    Image.open(few.folder / "renamed.png").save(few.folder / "005.png")
    assert ws.index(few.folder).missing == 0
    check = rows("w", "SELECT status FROM images WHERE key = '005.png'")
    assert check == [("present",)]


def test_identical_bytes_are_embedded_once_and_count_once(few: Planted) -> None:
    (few.folder / "copy.png").write_bytes((few.folder / "000.png").read_bytes())
    ws = fsearch.open("w")
    report = ws.index(few.folder)
    assert (report.embedded, report.duplicates) == (60, 1)
    Path("l.csv").write_text("image,loss\n000.png,1\ncopy.png,3\n001.png,5\n")
    ws.index(few.folder, "l.csv")
    losses = Store.open(Path("w")).losses("model")
    assert list(losses.values) == [2.0, 5.0]


def test_bad_images_are_quarantined_and_the_rest_goes_on(few: Planted) -> None:
    whole = (few.folder / "000.png").read_bytes()
    (few.folder / "zero.jpg").write_bytes(b"")
    (few.folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (few.folder / "words.jpg").write_text("no image")
    (few.folder / "notes.txt").write_text("not counted")
    outside = few.folder.parent / "secret.png"
    outside.write_bytes(whole)
    (few.folder / "link.png").symlink_to(outside)
    (few.folder / "dangling.png").symlink_to(few.folder / "nowhere.png")
    report = fsearch.open("w").index(few.folder, few.losses)
    assert (report.found, report.embedded, report.rejected, report.losses) == (65, 60, 5, 60)
    reasons = dict(rows("w", "SELECT key, reason FROM rejected"))
    assert reasons["zero.jpg"] == "empty file"
    assert "outside" in str(reasons["link.png"])
    assert "damaged" in str(reasons["cut.png"])
    assert "cannot be read" in str(reasons["dangling.png"])
    (few.folder / "cut.png").write_bytes(whole)
    fsearch.open("w").index(few.folder)
    assert "cut.png" not in dict(rows("w", "SELECT key, reason FROM rejected"))


def test_nothing_is_made_where_the_input_is_wrong(few: Planted) -> None:
    Path("bad.csv").write_text("image,loss\nnobody.png,1\n")
    Path("empty").mkdir()
    for images, losses in ((few.folder, "bad.csv"), ("empty", None), ("nowhere", None)):
        with pytest.raises(BadInputError):
            fsearch.open("w").index(images, losses)
    with pytest.raises(BadInputError, match="model name"):
        fsearch.open("w").index(few.folder, few.losses, model="../../etc")
    with pytest.raises(EncoderError):
        fsearch.open("w").index(few.folder, encoder="no-such-encoder")
    assert not Path("w").exists()


def test_metadata_keeps_its_types_and_must_keep_them(few: Planted) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    kinds = dict(
        rows("w", "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'model_metadata'")
    )
    assert kinds == {"model": "VARCHAR", "image_id": "BIGINT", "eyewear": "VARCHAR", "skin_tone": "BIGINT"}
    Path("more.csv").write_text('image,loss,"odd ""name"" ; DROP TABLE images"\n000.png,1,7\n')
    ws.index(few.folder, "more.csv", model="second")
    assert rows(
        "w",
        'SELECT "odd ""name"" ; DROP TABLE images", skin_tone IS NOT NULL FROM model_metadata WHERE image_id = 0 '
        "ORDER BY 1",
    ) == [(7, False), (None, True)]
    Path("clash.csv").write_text("image,loss,skin_tone\n000.png,9,pale\n")
    with pytest.raises(BadInputError, match="'skin_tone' is VARCHAR in this file and BIGINT in the workspace"):
        ws.index(few.folder, "clash.csv", model="second")
    assert rows("w", "SELECT loss FROM losses WHERE model = 'second'") == [(1.0,)]


def test_a_workspace_refuses_another_encoder(few: Planted) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder)
    weights = Path("w.safetensors")
    weights.write_bytes(b"x")
    with pytest.raises(EncoderError, match="holds embeddings of demo, not of ViT-B-32"):
        ws.index(few.folder, encoder="ViT-B-32", weights=str(weights))


_SLOW_RUN = """
import sys
import fsearch
from fsearch.indexer.embedding.batch_sizes import BatchSizes
fsearch.open(sys.argv[1]).index(sys.argv[2], sizes=BatchSizes(batch=16, shard_rows=16))
"""


@pytest.mark.slow
def test_a_killed_run_loses_nothing_and_the_next_one_finishes(planted: Planted, encoder: Encoder) -> None:
    """SIGKILL at random instants, then after each: the workspace opens and is whole; at last a run completes."""
    root, dice = Path("killed"), random.Random(4)
    sizes = []
    for _ in range(6):
        run = subprocess.Popen([sys.executable, "-c", _SLOW_RUN, str(root), str(planted.folder)])
        while not (root / "catalog.duckdb").exists() and run.poll() is None:
            time.sleep(0.01)
        shards = len(list((root / "vectors").glob("*.npy")))
        while len(list((root / "vectors").glob("*.npy"))) < shards + 2 and run.poll() is None:
            time.sleep(0.001)
        time.sleep(dice.random() * 0.05)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        found = rows(str(root), "SELECT count(*) FROM images")[0][0]
        sizes.append(found)
        check_whole(root, encoder, planted.folder, int(str(found)))
    assert sizes == sorted(sizes)
    assert sizes[-1] > 0
    fsearch.open(root).index(planted.folder, planted.losses)
    check_whole(root, encoder, planted.folder, len(planted.portraits))


_SLOW_COMMAND = """
import sys, time
import fsearch.cli
from fsearch.indexer.embedding.batch_sizes import BatchSizes
from fsearch.indexer.embedding.open_clip_encoder import OpenClipEncoder
from fsearch.search.workspace import Workspace
index, small = Workspace.index, BatchSizes(batch=16, shard_rows=16)
Workspace.index = lambda self, *args, **options: index(self, *args, **options, sizes=small)
embed_images = OpenClipEncoder.embed_images
def slow(self, prepared):
    time.sleep(0.2)
    return embed_images(self, prepared)
OpenClipEncoder.embed_images = slow
sys.argv = ["fsearch", "index", sys.argv[2], "-w", sys.argv[1]]
fsearch.cli.main()
"""


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_committed(planted: Planted) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", _SLOW_COMMAND, "stopped", str(planted.folder)], stderr=subprocess.PIPE, text=True
    )
    while len(list(Path("stopped/vectors").glob("*.npy"))) < 2 and run.poll() is None:
        time.sleep(0.002)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert said.strip() == "fsearch: stopped; what was committed is kept, run the same command to continue"
    kept = rows("stopped", "SELECT count(*) FROM images")[0][0]
    assert int(str(kept)) >= 16
    assert fsearch.open("stopped").index(planted.folder).unchanged == kept


def test_every_twin_of_an_image_without_embedding_is_rejected(few: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3):
        (few.folder / f"twin{i}.png").write_bytes((few.folder / "000.png").read_bytes())
    honest = OpenClipEncoder.embed_images

    def broken(self: OpenClipEncoder, prepared: list) -> np.ndarray:
        found = honest(self, prepared).copy()
        found[0] = np.nan
        return found

    monkeypatch.setattr(OpenClipEncoder, "embed_images", broken)
    report = fsearch.open("w").index(few.folder)
    assert (report.embedded, report.duplicates, report.rejected) == (59, 0, 4)
    refused = rows("w", "SELECT key FROM rejected WHERE reason = 'the encoder gave no finite embedding' ORDER BY key")
    assert refused == [("000.png",), ("twin0.png",), ("twin1.png",), ("twin2.png",)]


def test_a_column_with_a_name_of_the_catalogs_own_is_stored_under_another_and_said(few: Planted) -> None:
    lines = few.losses.read_text().splitlines()
    Path("own.csv").write_text(
        "\n".join([f"{lines[0]},Key,Source", *(f"{row},k{i},s" for i, row in enumerate(lines[1:]))])
    )
    ws = fsearch.open("w")
    said = "column names that are taken: 'Key' is stored as 'Key_', 'Source' is stored as 'Source_'"
    assert said in str(ws.index(few.folder, "own.csv", model="m"))
    assert said in ws.losses.add("n", losses="own.csv").rows
    assert rows("w", "SELECT DISTINCT Source_ FROM examples") == [("s",)]
    Path("manifest.csv").write_text(f"image,Loss,place,Place\n{few.folder}/000.png,7,rome,x\n")
    report = fsearch.open("v").index("manifest.csv")
    assert "taken: 'Loss' is stored as 'Loss_', 'Place' is stored as 'Place_'" in str(report)
    assert rows("v", "SELECT Loss_, place, Place_ FROM metadata") == [(7, "rome", "x")]
