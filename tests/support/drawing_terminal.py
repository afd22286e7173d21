"""A terminal that draws images, or none: it answers what a program asks of it, and decodes what the program drew."""

from __future__ import annotations

import base64
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CELL = (10, 20)  # pixels of a character
_ASKED = {  # what is asked, and what a terminal of each kind answers
    "attributes": re.compile(rb"\x1b\[c"),
    "kitty": re.compile(rb"\x1b_Gi=(\d+),[^;\x1b]*a=q[^\x1b]*\x1b\\"),
    "cell": re.compile(rb"\x1b\[16t"),
}


def run_on(
    kind: str,
    *args: str | Path,
    columns: int = 100,
    env: dict[str, str] | None = None,
    program: Sequence[str] = ("-m", "fsearch.cli"),
) -> tuple[int, bytes]:
    """Run fsearch, or another `program`, on a terminal of `kind`: its exit code, and all that it printed."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, *program, *map(str, args)]
    around = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment = around | {"TERM": "xterm-256color"} | (env or {})
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True) as child:
        os.close(its)
        said, answered = b"", 0
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the terminal closes with its process
                break
            answered = _answer(kind, said, answered, ours)
    os.close(ours)
    return child.returncode, said


def _answer(kind: str, said: bytes, answered: int, terminal: int) -> int:
    """Answer what was asked after the first `answered` bytes; returns up to where all is answered."""
    for name, asked in _ASKED.items():
        for found in asked.finditer(said, answered):
            if name == "attributes":
                os.write(terminal, b"\x1b[?62;4;22c" if kind == "sixel" else b"\x1b[?62;22c")
            elif name == "cell":
                os.write(terminal, b"\x1b[6;%d;%dt" % CELL[::-1])
            elif kind == "kitty":
                os.write(terminal, b"\x1b_Gi=%s;OK\x1b\\" % found[1])
            answered = max(answered, found.end())
    return answered


def drawn(kind: str, said: bytes) -> list[np.ndarray]:
    """The images that a terminal of `kind` would show, in order, each (height, width, 3) uint8."""
    return _sixels(said) if kind == "sixel" else _kitty(said)


def _kitty(said: bytes) -> list[np.ndarray]:
    chunks: dict[bytes, bytes] = {}
    for keys, payload in re.findall(rb"\x1b_G([^;\x1b]*);([A-Za-z0-9+/=]+)\x1b\\", said):
        values = dict(part.split(b"=") for part in keys.split(b","))
        if values.get(b"a") != b"q":
            assert values[b"f"] == b"100"  # PNG
            chunks[values[b"i"]] = chunks.get(values[b"i"], b"") + payload
    placed = {v[b"i"] for v in _keys(said) if v.get(b"a") == b"p" and v.get(b"U") == b"1"}
    assert placed == chunks.keys()
    images = [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in chunks.values()]
    return [np.asarray(image) for image in images]


def _keys(said: bytes) -> Sequence[dict[bytes, bytes]]:
    return [dict(part.split(b"=") for part in keys.split(b",")) for keys in re.findall(rb"\x1b_G([^;\x1b]*)", said)]


def _sixels(said: bytes) -> list[np.ndarray]:
    return [_sixel(*found) for found in re.findall(rb'\x1bP[0-9;]*q"1;1;(\d+);(\d+)([^\x1b]*)\x1b\\', said)]


def _sixel(width: bytes, height: bytes, data: bytes) -> np.ndarray:
    """Decode one image: colours are `#n;2;r;g;b` in percent, each character six pixels below each other."""
    pixels = np.zeros((int(height) + 6, int(width), 3), np.uint8)
    colours: dict[int, tuple[int, ...]] = {}
    x = y = colour = 0
    for number, rest, times, one, end in re.findall(rb"#(\d+)((?:;\d+){4})?|!(\d+)([?-~])|([?-~$-])", data):
        if number:
            colour = int(number)
            if rest:
                colours[colour] = tuple(round(int(v) * 2.55) for v in rest.split(b";")[2:])
        elif end == b"$":
            x = 0
        elif end == b"-":
            x, y = 0, y + 6
        else:
            run, bits = int(times or 1), (one or end)[0] - 63
            for bit in range(6):
                if bits >> bit & 1:
                    pixels[y + bit, x : x + run] = colours[colour]
            x += run
    return pixels[: int(height)]
