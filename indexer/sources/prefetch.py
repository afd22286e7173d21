"""Read and decode the images of a source in threads, ahead of whatever model takes them, in order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from fsearch.indexer.sources.base import Item
from fsearch.indexer.sources.decode import RejectedImageError, decode, to_rgb

UNREAD = "cannot be read: "  # how the reason begins where a file, not what is in it, is at fault

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Read:
    """An image in RGB, the SHA-256 of its encoded bytes (of its pixels, where it was in memory), and their number."""

    image: Image.Image
    sha256: str
    bytes: int


def read_image(item: Item) -> Read | str:
    """Read one image, or say why it cannot be used."""
    try:
        held = item.read()
        if isinstance(held, bytes):
            return Read(decode(held), hashlib.sha256(held).hexdigest(), len(held))
        image = to_rgb(held)
        pixels = image.tobytes()
        return Read(image, hashlib.sha256(f"{image.size}".encode() + pixels).hexdigest(), len(pixels))
    except OSError as error:
        return f"{UNREAD}{error.strerror or error}"
    except RejectedImageError as error:
        return str(error)


def prefetch(items: Iterable[_T], work: Callable[[_T], _R], count: int) -> Iterator[_R]:
    """Do `work` on each of `items` in threads, at most `count` ahead of the consumer, in order."""
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2), "decode") as pool:
        waiting: deque[Future[_R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
