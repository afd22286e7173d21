"""Strips of images on a terminal that can draw: kitty by its own protocol, iTerm2, xterm and many others by sixels."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby
from typing import Any

from fsearch.indexer.errors import NotReadyError
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.neighbour import Neighbour
from fsearch.search.terminal.printable import say
from fsearch.search.thumbnails import Thumbnails

SIDE = 160  # of a tile, in pixels
COLUMNS = 10  # of the terminal that a tile takes
_BETWEEN = (128, 128, 128)  # grey around and between images: neither a light nor a dark terminal


def drawing() -> Any | None:
    """What draws an image on this terminal: a class of textual-image. None, and a line says why, where nothing does.

    The terminal is asked what it can when the library is first imported: by control codes on standard output, which
    it answers on standard input. So nothing is asked where one of the two is none.

    Raises
    ------
    NotReadyError
        Where the library is not installed.
    """
    reason = _not_asked()
    if reason is None:
        if find_spec("textual_image") is None:
            raise NotReadyError("--images needs textual-image: pip install 'fsearch-vision[terminal]'")
        from textual_image.renderable import Image, SixelImage, TGPImage

        if Image in (SixelImage, TGPImage):
            return Image
        reason = "this terminal draws none (kitty, iTerm2 and those that know sixels do); fsearch serve shows them"
    say(f"--images: {reason}", err=True)
    return None


def _not_asked() -> str | None:
    """Why this terminal is not asked whether it draws; None where it is."""
    if sys.stdout is None or not sys.stdout.isatty():
        return "standard output is no terminal, so none is drawn"
    if sys.stdin is None or not sys.stdin.isatty():
        return "standard input is no terminal, where it would say whether it draws"
    if os.environ.get("TERM", "dumb") == "dumb" or not all(os.get_terminal_size(sys.stdout.fileno())):
        return "this terminal says too little of itself to be drawn on"
    return None


class Strips:
    """Draws images of `store` side by side, by what `drawing` gave."""

    def __init__(self, store: Store, image: Any) -> None:
        from rich.console import Console

        self._store, self._reader, self._image = store, ImageReader(store), image
        # kitty finds an image by the colour of what stands in its place: of all colours, and never without
        self._console = Console(force_terminal=True, color_system="truecolor", no_color=False)

    def draw(self, shown: Sequence[tuple[str, Neighbour]]) -> None:
        """Draw images, each with its word: a strip for each word, in the order given."""
        thumbnails = Thumbnails(self._store, self._reader, [image for _, image in shown])
        for word, some in groupby(shown, key=lambda one: one[0]):
            tiles = [thumbnails.of(image, SIDE) for _, image in some]
            say(f"  {word}, in this order:")
            wide = min(len(tiles), max(1, self._console.width // COLUMNS))
            self._console.print(self._image(sheet(tiles, wide), width=wide * COLUMNS, height="auto"), end="")
        if thumbnails.unread:
            n, reason = len(thumbnails.unread), next(iter(thumbnails.unread.values()))
            say(f"  left blank, since {'it' if n == 1 else f'{n} of them'} cannot be read: {reason}")


def sheet(tiles: Sequence[bytes], wide: int) -> Any:
    """One PIL image of encoded images, each in a square of SIDE pixels, so many of them `wide`; b"" is left blank."""
    from PIL import Image, ImageOps

    rows = -(-len(tiles) // wide)
    whole = Image.new("RGB", (wide * SIDE, rows * SIDE), _BETWEEN)
    for place, data in enumerate(tiles):
        if data:
            with Image.open(io.BytesIO(data)) as tile:
                square = ImageOps.pad(tile.convert("RGB"), (SIDE - 4, SIDE - 4), color=_BETWEEN)
            whole.paste(square, (place % wide * SIDE + 2, place // wide * SIDE + 2))
    return whole
