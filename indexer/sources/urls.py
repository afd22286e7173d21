"""URLs: which places are some, and the schemes that images are fetched by. Loads nothing, for the command line."""

from __future__ import annotations

SCHEMES = ("http", "https", "s3", "gs")


def is_web(url: str) -> bool:
    """Whether a URL is of http or https."""
    return url.lower().startswith(("http://", "https://"))


def is_url(text: str) -> bool:
    """Whether `text` has a scheme, allowed or not."""
    return "://" in text
