"""Requests over HTTP that are bounded in time and bytes: what an endpoint of the user's may take and may send."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fsearch.indexer.errors import BadInputError

_RETRIED = (408, 429, 500, 502, 503, 504)  # statuses of transient failures
_PART_BYTES = 2**16


class HttpError(Exception):
    """A server does not answer, or too much, or too late; in one line."""


class Http:
    """A pool of connections."""

    def __init__(self, *, concurrent: int, retries: int, backoff: float, timeout: float) -> None:
        """Raise BadInputError where the library is missing.

        Parameters
        ----------
        concurrent : requests in flight at once.
        retries : how often a request that failed transiently is repeated; no redirect is followed.
        backoff : seconds before the second retry; doubled for each further one, at most 10.
        timeout : seconds to wait for an answer, and for all of it.
        """
        try:
            import urllib3
        except ImportError as error:
            raise BadInputError("HTTP endpoints need the library urllib3: pip install urllib3") from error
        retry = urllib3.Retry(
            retries,
            backoff_factor=backoff,
            backoff_max=10,
            status_forcelist=_RETRIED,
            allowed_methods=None,  # what is asked changes nothing, so repeating it is safe
            redirect=0,
            raise_on_status=False,
        )
        limits = urllib3.Timeout(connect=10, read=timeout)
        self._timeout = timeout
        self._pool = urllib3.PoolManager(retries=retry, timeout=limits, maxsize=concurrent, block=True)
        self._errors = (urllib3.exceptions.HTTPError,)

    def request(
        self, method: str, url: str, most: int, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and content of an answer, at most `most` bytes of it and `timeout` seconds in all.

        `body` is sent as JSON. Raises HttpError. Content is taken as it is sent: what is compressed could be of any
        size.
        """
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        try:
            answer = self._pool.request(
                method, url, json=body, headers=sent, preload_content=False, decode_content=False
            )
            try:
                data = self._content(answer, most)
            except BaseException:
                answer.close()
                raise
        except self._errors as error:
            raise HttpError(first_line(error)) from error
        answer.release_conn()
        return answer.status, data

    def _content(self, answer: Any, most: int) -> bytes:
        end = time.monotonic() + self._timeout
        data = bytearray()
        while part := answer.read1(_PART_BYTES, decode_content=False):
            data += part
            if len(data) > most:
                raise HttpError(f"its answer is larger than {most // 2**20} MiB")
            if time.monotonic() > end:
                raise HttpError(f"its answer took longer than {self._timeout:g} s")
        return bytes(data)


def first_line(said: object) -> str:
    """The first line of what a server or library says, which may be empty; for an error, of its reason."""
    said = (getattr(said, "reason", None) or said) if isinstance(said, BaseException) else said
    return (str(said).strip() or type(said).__name__).splitlines()[0][:500]
