"""`fsearch query --images`: drawn on terminals that can, decoded here as those would; one line of why elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawing_terminal import drawn, run_on
from PIL import Image
from tests.conftest import Planted
from tests.test_cli import run

import fsearch
from fsearch.search.neighbour import Neighbour

TEXT = "dark skin tone"
WITHOUT = """
import sys
from fsearch import cli
sys.modules["textual_image"] = None
sys.argv = ["fsearch", *sys.argv[1:]]
cli.main()
"""


def tile(image: np.ndarray, place: int, wide: int) -> np.ndarray:
    """One of the images of a strip, 24 pixels a side."""
    side = image.shape[1] // wide
    top, left = place // wide * side, place % wide * side
    return small(Image.fromarray(image[top : top + side, left : left + side]))


def small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((24, 24)), np.float32)


def nearest_of(shown: np.ndarray, images: dict[str, np.ndarray]) -> str:
    return min(images, key=lambda key: float(np.abs(images[key] - shown).mean()))


def keys(images: tuple[Neighbour, ...]) -> list[str]:
    return [image.key for image in images]


@pytest.mark.parametrize(("kind", "columns"), [("sixel", 100), ("kitty", 45)])
def test_a_terminal_that_draws_shows_both_strips_in_order(
    fitted: Path, planted: Planted, kind: str, columns: int
) -> None:
    code, said = run_on(kind, "query", TEXT, "--images", "--top", "6", "-w", fitted, columns=columns)
    assert code == 0, said
    answer = fsearch.open(fitted).query(TEXT, top=6)[0]
    every = {path.name: small(Image.open(path)) for path in planted.folder.iterdir()}
    strips = drawn(kind, said)
    assert len(strips) == 2
    wide = min(6, columns // 10)
    for strip, images in zip(strips, (answer.failing, answer.passing), strict=True):
        assert strip.shape[1] == wide * 100
        assert [nearest_of(tile(strip, i, wide), every) for i in range(6)] == keys(images)
    order = [said.index(word) for word in (b"FAILS", b"  fails, in this order:", b"  passes, in this order:")]
    assert order == sorted(order)


def test_kitty_is_sent_its_colours_whatever_else_goes_without(fitted: Path) -> None:
    """By the colour of what stands in its place kitty tells which image it is."""
    _, said = run_on("kitty", "query", TEXT, "--images", "-w", fitted, env={"NO_COLOR": "1", "COLORTERM": ""})
    assert said.count(b"\x1b[38;2;") >= 2
    assert len(drawn("kitty", said)) == 2


def test_a_terminal_that_draws_none_says_so_once(fitted: Path) -> None:
    code, said = run_on("none", "query", TEXT, "a hat", "--images", "-w", fitted)
    assert code == 0
    assert said.count(b"--images: this terminal draws none") == 1
    assert b"FAILS" in said
    assert drawn("sixel", said) == []
    assert said.count(b"\x1b_G") == 1  # the question whether it draws


def test_a_terminal_that_says_nothing_of_itself_is_asked_nothing(fitted: Path) -> None:
    given: list[tuple[int, dict[str, str]]] = [(0, {}), (100, {"TERM": "dumb"})]
    for columns, env in given:
        code, said = run_on("sixel", "query", TEXT, "--images", "-w", fitted, columns=columns, env=env)
        assert code == 0
        assert b"--images: this terminal says too little of itself" in said
        assert b"\x1b[c" not in said
        assert drawn("sixel", said) == []


def test_a_pipe_gets_no_control_codes_and_one_line_of_why(fitted: Path) -> None:
    command = [sys.executable, "-m", "fsearch.cli", "query", TEXT, "-w", str(fitted)]
    plain, asked = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=True) for more in ([], ["--images"])
    )
    assert asked.stdout == plain.stdout
    assert "\x1b" not in asked.stdout + asked.stderr
    assert asked.stderr.splitlines() == ["--images: standard output is no terminal, so none is drawn"]
    code, _, err = run("query", TEXT, "--images", "--json", "-w", fitted)
    assert (code, len(err.splitlines())) == (2, 1)


def test_an_image_that_is_gone_is_left_blank_and_its_reason_said(few: Planted) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    ws.fit()
    answer = ws.query(TEXT, top=3)[0]
    shown = answer.nearest
    (few.folder / shown[1].key).unlink()
    code, said = run_on("sixel", "query", TEXT, "--images", "--nearest", "--top", "3", "-w", "w")
    assert code == 0
    assert b"left blank, since it cannot be read: " in said
    (strip,) = drawn("sixel", said)
    blank = tile(strip, 1, 3)
    assert np.abs(blank - 128).max() < 4
    assert np.abs(tile(strip, 0, 3) - 128).max() > 30


def test_without_the_library_a_terminal_is_told_what_to_install(fitted: Path) -> None:
    code, said = run_on("sixel", "query", TEXT, "--images", "-w", fitted, program=("-c", WITHOUT))
    assert code == 2
    lines = said.decode().splitlines()
    assert lines == ["fsearch: --images needs textual-image: pip install 'fsearch-vision[terminal]'"]
    code, said = run_on("sixel", "query", TEXT, "-w", fitted, program=("-c", WITHOUT))
    assert (code, b"FAILS" in said) == (0, True)
