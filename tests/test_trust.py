"""What a received workspace says is neither imported, loaded, read nor fetched, unless it is named or trusted."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from made_encoders import OWN_ENCODER, save_folder
from PIL import Image
from tests.conftest import Planted
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError, EncoderError
from fsearch.indexer.workspace import trust

EVIL = "from pathlib import Path\nPath('evil.txt').write_text('ran')\ndata = dict\nENCODER = None\n"


def cli(*words: Any) -> Any:
    return CliRunner().invoke(app, [str(w) for w in words])


@pytest.fixture
def received(fitted: Path, tmp_path: Path) -> Iterator[Path]:
    """A workspace that came from somebody else, with a module of theirs in it."""
    root = Path(shutil.copytree(fitted, tmp_path / "ws"))
    (root / "evil.py").write_text(EVIL)
    yield root
    for name in ("ws", "ws.evil"):
        sys.modules.pop(name, None)


def say(root: Path, statement: str, *values: object) -> None:
    """Let a received workspace say something."""
    with duckdb.connect(str(root / "catalog.duckdb")) as con:
        con.execute(statement, list(values))


def everything(ws: Any) -> list[Callable[[], object]]:
    """All that is done with a received workspace."""
    return [
        lambda: ws.query("dark skin tone"),
        lambda: ws.rank(["dark skin tone"]),
        lambda: ws.fit(),
        lambda: ws.info(),
        lambda: ws.check(repair=True),
        lambda: ws.compact(),
    ]


def test_a_stored_data_set_imports_nothing(received: Path) -> None:
    options = '{"kind": "python", "image_column": null, "root": null, "allow_outside": false}'
    before = set(sys.modules)
    for location in ("ws.evil:data", "ws.evil:missing", "os:getcwd", "evil:data"):
        say(received, "UPDATE sources SET location = ?, options = ?", location, options)
        with pytest.raises(BadInputError, match=f"the workspace says that its images are {location}"):
            fsearch.open(received).losses.add("m", black_box=lambda images: [1.0] * len(images), task="loss")
    assert not {n for n in set(sys.modules) - before if "evil" in n}
    assert not Path("evil.txt").exists()


def test_a_stored_encoder_is_neither_imported_loaded_nor_fetched(
    received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_folder(received / "enc")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    for digest in ("source:00", "tag:x", "00+00"):
        say(received, "UPDATE settings SET value = ? WHERE name = 'encoder_digest'", digest)
        for name in ("ws.evil:ENCODER", "local-dir:ws/enc", "hf-hub:org/name", "ViT-B-32"):
            say(received, "UPDATE settings SET value = ? WHERE name = 'encoder'", name)
            for ask in everything(fsearch.open(received))[:3]:
                with pytest.raises(EncoderError, match="fsearch trust -w") as caught:
                    ask()
                assert "\n" not in str(caught.value)
    for ask in everything(fsearch.open(received))[3:]:  # what needs no encoder works without one
        ask()
    assert not Path("evil.txt").exists()


def test_images_are_not_read_where_a_received_workspace_says(received: Path, planted: Planted) -> None:
    """Else its owner would have a file of mine sent to a black box of theirs."""
    seen: list[Any] = []

    def box(images: list[Image.Image]) -> list[float]:
        seen.extend(images)
        return [1.0] * len(images)

    ws = fsearch.open(received)
    with pytest.raises(BadInputError, match=r"name them: --images .*fsearch trust -w") as caught:
        ws.losses.add("m", black_box=box, task="loss")
    assert "\n" not in str(caught.value)
    assert not seen
    assert ws.losses.add("m", black_box=box, task="loss", images=planted.folder).added == len(planted.values)
    assert ws.trust()
    assert ws.losses.add("n", black_box=box, task="loss").added == len(planted.values)


def test_trust_is_of_what_was_named_then(received: Path, planted: Planted) -> None:
    ws = fsearch.open(received)
    assert f"data set  {planted.folder}" in cli("trust", "-w", received).output
    box: Any = {"black_box": lambda images: [1.0] * len(images), "task": "loss"}
    assert ws.losses.add("m", **box).added
    say(received, "UPDATE sources SET location = location || '/.'")
    with pytest.raises(BadInputError, match="it may be not yours"):
        ws.losses.add("n", **box)
    assert ws.trust()
    assert ws.losses.add("n", **box).added
    moved = received.rename("moved")
    with pytest.raises(BadInputError, match="it may be not yours"):
        fsearch.open(moved).losses.add("o", **box)
    moved.rename(received)
    assert "forgotten" in cli("trust", "--forget", "-w", received).output
    assert "not trusted" in cli("trust", "--forget", "-w", received).output
    with pytest.raises(BadInputError, match="it may be not yours"):
        ws.losses.add("o", **box)


def test_code_is_trusted_only_by_saying_so(few: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("own_encoder.py").write_text(OWN_ENCODER)
    try:
        fsearch.open("w").index(few.folder, few.losses, encoder="own_encoder:build")
        fsearch.open("w").fit(encoder="own_encoder:build")
        with pytest.raises(EncoderError, match="a stored name runs no code"):
            fsearch.open("w").query("red")
        assert "encoder   own_encoder:build, which is code" in cli("trust", "-w", "w").output
        assert fsearch.open("w").query("red").answers
    finally:
        sys.modules.pop("own_encoder", None)


def test_the_maker_of_a_workspace_trusts_it(few: Planted) -> None:
    save_folder(Path("model"))
    fsearch.open("w").index(few.folder, few.losses, encoder="local-dir:model")
    ws = fsearch.open("w")
    ws.fit()
    assert ws.query("red").answers
    assert ws.losses.add("m", black_box=lambda images: [1.0] * len(images), task="loss").added == 60


def test_where_nothing_can_be_recorded_nothing_is_trusted(
    few: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FSEARCH_CONFIG", str(tmp_path / "file"))
    ws = fsearch.open("w")
    assert ws.index(few.folder, few.losses).embedded == 60
    assert not trust.remember(Path("w"), ["x"])
    assert not trust.is_trusted(Path("w"), "x")
    with pytest.raises(BadInputError, match="the trust cannot be recorded"):
        ws.trust()
    for name in ("FSEARCH_CONFIG", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert not trust.remember(Path("w"), ["x"])
    assert not trust.is_trusted(Path("w"), "x")
