"""Work that takes long: it runs in a thread, its progress is sent to the page as it goes, and it can be stopped.

Progress goes out as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from fsearch.indexer.errors import BadInputError, FsearchError
from fsearch.search.options import Progress
from fsearch.search.web.guard import Receive, Scope, Send

_KEPT = 20  # pieces of work that are remembered
_EVERY = 0.25  # seconds between two events


class _StoppedError(Exception):
    """The user stopped it."""


@dataclass
class Job:
    """A piece of work under way, or ended.

    Attributes
    ----------
    done, total : how far it is; total is 0 while that is not known.
    state : "working"; "done", with the number of the `run` that it gave; "failed", with what was `said`; "stopped".
    what : what it does, in words; place : where on the page its number is.
    """

    number: int
    what: str = "Ranking the phrases"
    place: str = "/run/"
    done: int = 0
    total: int = 0
    state: str = "working"
    run: int | None = None
    said: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def tick(self, what: str, done: int, total: int) -> None:
        """Note progress. Raises where the work was stopped: nothing was stored yet."""
        if self.stop.is_set():
            raise _StoppedError
        self.done, self.total = done, total

    def do(self, work: Callable[[Progress], int]) -> None:
        """Do the work, which gives the number of a run."""
        try:
            self.run = work(self.tick)
            self.state = "done"
        except _StoppedError:
            self.state = "stopped"
        except FsearchError as error:
            self.said, self.state = str(error), "failed"
        except BaseException:
            self.said, self.state = "it ended with an error; see where fsearch serve runs", "failed"
            raise

    @property
    def news(self) -> dict[str, object]:
        """What the page is told."""
        return {name: getattr(self, name) for name in ("state", "done", "total", "run", "said")}


class Jobs:
    """The last pieces of work, by number; as an ASGI endpoint, the progress of one."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)

    def start(self, work: Callable[[Progress], int], what: str = Job.what, place: str = Job.place) -> Job:
        """Begin a piece of work in a thread of its own."""
        job = Job(next(self._numbers), what, place)
        self._jobs = dict([*self._jobs.items(), (job.number, job)][-_KEPT:])
        threading.Thread(target=job.do, args=(work,), daemon=True).start()
        return job

    def __getitem__(self, number: int) -> Job:
        if number not in self._jobs:
            raise BadInputError(f"there is no work {number} any more")
        return self._jobs[number]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send an event whenever a job went on, until it ends or nobody listens."""
        number = scope["path_params"]["number"]
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        job = self._jobs.get(number)
        await send({"type": "http.response.start", "status": 200 if job else 404, "headers": headers})
        gone = asyncio.create_task(_disconnected(receive))
        told = None
        while job is not None and not gone.done():
            news = job.news
            if news != told:
                event = f"data: {json.dumps(news)}\n\n".encode()
                await send({"type": "http.response.body", "body": event, "more_body": True})
                told = news
            if news["state"] != "working":
                break
            await asyncio.wait([gone], timeout=_EVERY)
        gone.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
