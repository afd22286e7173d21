"""Folders of a web server that lists them as pages of links, in the words of fsspec."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from fsearch.indexer.sources.web import fetch
from fsearch.indexer.sources.web_address import Hosts, WebError

_MAX_PAGE = 2**26  # bytes
_TAG, _LINK = re.compile(r"<a\s[^>]{1,8000}>", re.IGNORECASE), re.compile(r"""href\s?=\s?["']([^"']+)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WebFolders:
    """The folders of a web server; it may be asked where `hosts` allows it."""

    hosts: Hosts

    def ls(self, url: str, detail: bool = True) -> list[dict[str, Any]]:
        """What the page of a folder links to below it, each once. Raises WebError."""
        page = fetch(url, _MAX_PAGE + 1, self.hosts)
        if len(page) > _MAX_PAGE:
            raise WebError(f"its page is larger than {_MAX_PAGE // 2**20} MiB")
        links = (m[1] for tag in _TAG.finditer(page.decode("utf-8", "ignore")) if (m := _LINK.search(tag[0])))
        below = dict.fromkeys(found for link in links if (found := _below(url, unescape(link))) is not None)
        return [{"name": u, "size": None, "type": "directory" if u.endswith("/") else "file"} for u in below]

    def invalidate_cache(self) -> None:
        """Nothing is kept."""


def _below(url: str, link: str) -> str | None:
    """The URL of a link where it is below `url`."""
    base, parts = url.rstrip("/") + "/", urlsplit(url)
    if link.startswith("//"):
        link = f"{parts.scheme}:{link}"
    elif link.startswith("/"):
        link = f"{parts.scheme}://{parts.netloc}{link}"
    elif "://" not in link:
        link = None if link in ("..", "../", ".", "./") else base + link.removeprefix("./")  # type: ignore[assignment]
    return link if link is not None and link.startswith(base) and link != base else None
