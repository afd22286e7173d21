"""Distributed work on a Ray cluster: embedding images, training members of an ensemble. The one file that imports ray.

The driver streams the source, submits a few chunks to each worker, receives the outcomes in the order of the source and
commits them as if it had embedded them itself. Work of a machine that was lost is resubmitted to another one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from fsearch.indexer.embedding.batch_sizes import DEFAULT_SIZES, BatchSizes
from fsearch.indexer.embedding.encoder import Encoder, Named, load_encoder
from fsearch.indexer.embedding.pipeline import Engine, Outcome
from fsearch.indexer.embedding.staging import Staging, chunk_name, embed_chunk
from fsearch.indexer.embedding.writer import RejectedItem
from fsearch.indexer.errors import BadInputError, FsearchError, WorkspaceError
from fsearch.indexer.sources.base import Item
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.prefetch import UNREAD
from fsearch.indexer.workspace.encoder_spec import EncoderSpec

_log = logging.getLogger(__name__)

_CORES = 4  # of one encoder, where there is no GPU
_CONCURRENCY = 2  # chunks in one worker: one is decoded while the other is embedded
_CONNECT_TIMEOUT = 5.0  # seconds until an address must answer
_MAX_RETRIES = 5  # of a chunk whose workers are lost

T = TypeVar("T")
R = TypeVar("R")


class Cluster:
    """A Ray cluster: the one at `address`, or one on this machine alone."""

    def __init__(self, address: str | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise BadInputError("--engine ray needs the library ray: pip install ray") from error
        self._ray: Any = ray
        try:
            _check_reachable(address)
            ray.init(address=address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            where = address or "this machine"
            raise BadInputError(
                f"--address {where}: no Ray cluster answers there; start one with: ray start --head"
            ) from error

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def embedding(
        self, spec: EncoderSpec, staging: Staging, sizes: BatchSizes = DEFAULT_SIZES, named: Named | None = None
    ) -> Engine:
        """An engine for `index_images`: workers read and embed the images. For `named` see `load_encoder`."""

        def workers() -> list[Any]:
            return self._workers(spec, staging, sizes.batch, named)

        return lambda todo, _: (self._outcomes(todo, spec, staging, sizes, workers), np.stack)

    def distribute(self, work: Callable[[Any, T], R], shared: Any, jobs: Sequence[T]) -> Iterator[R]:
        """`work(shared, job)` for each job, on the cluster; results in the order of `jobs`.

        Each gets as many cores as this process has, if a machine there has them: sums depend on how many share them.
        """
        cores = min([os.cpu_count() or 1, *(int(m["CPU"]) for m in self._machines() if m.get("CPU", 0) >= 1)])
        task = self._ray.remote(num_cpus=cores, max_retries=-1)(work)
        common = self._ray.put(shared)
        for reference in [task.remote(common, job) for job in jobs]:
            yield self._got(self._ray.get, reference)

    def _outcomes(
        self,
        todo: Iterable[Item],
        spec: EncoderSpec,
        staging: Staging,
        sizes: BatchSizes,
        workers: Callable[[], list[Any]],
    ) -> Iterator[Outcome]:
        """The outcome of each image, in order."""
        pool = _Pool(self._ray, workers)
        waiting: deque[tuple[str, list[Item]]] = deque()
        delivered: deque[str] = deque()
        items = iter(todo)
        while (chunk := list(islice(items, sizes.chunk_images))) or waiting:
            if chunk:
                name = chunk_name(chunk, spec)
                if not staging.holds(name):
                    self._got(pool.submit, name, chunk)
                waiting.append((name, chunk))
                if len(waiting) <= pool.ahead:
                    continue
            name, chunk = waiting.popleft()
            outcomes = self._finished(pool, staging, name, chunk)
            yield from self._with_unread(pool, staging, name, outcomes)
            delivered.append(name)
            if len(delivered) * sizes.chunk_images > 2 * sizes.shard_rows:  # so far back everything is committed
                staging.forget(delivered.popleft())

    def _finished(self, pool: _Pool, staging: Staging, name: str, chunk: list[Item]) -> list[Outcome]:
        """The outcomes of a chunk, once it is embedded; embedded again where a stopped run left it incomplete."""
        self._got(pool.finish, name)
        outcomes = staging.read(name, chunk)
        if outcomes is None:
            self._got(pool.submit, name, chunk)
            self._got(pool.finish, name)
            outcomes = staging.read(name, chunk)
        if outcomes is None:
            raise WorkspaceError(
                f"{staging.place} does not hold what a worker wrote there; is it seen by every machine?"
            )
        return outcomes

    def _with_unread(self, pool: _Pool, staging: Staging, name: str, outcomes: list[Outcome]) -> list[Outcome]:
        """`outcomes`, where images that a worker could not read, but the driver can, were sent to it and embedded."""
        held = {i: item for i, outcome in enumerate(outcomes) if (item := _read_locally(outcome)) is not None}
        if not held:
            return outcomes
        items, name = list(held.values()), f"{name}-sent"
        _log.warning("workers cannot read %r (and %d more), so they are sent there", items[0].key, len(items) - 1)
        sent = dict(zip(held, self._finished(pool, staging, name, items), strict=True))
        staging.forget(name)
        return [sent.get(i, outcome) for i, outcome in enumerate(outcomes)]

    def _machines(self) -> list[dict[str, float]]:
        """The resources of each machine that is alive."""
        return [n["Resources"] for n in self._ray.nodes() if n["Alive"]]

    def _workers(self, spec: EncoderSpec, staging: Staging, batch: int, named: Named | None) -> list[Any]:
        """One encoder for each GPU that is free; where there are none, one for a few cores of each machine."""
        machines = self._machines()
        free = self._ray.available_resources()
        gpus = int(sum(m.get("GPU", 0) for m in machines))
        cores = max(1, min([_CORES, *(int(m["CPU"]) for m in machines if m.get("CPU", 0) >= 1)]))
        places = gpus or sum(int(m.get("CPU", 0)) // cores for m in machines)
        count = max(1, min(places, int(free.get("GPU" if gpus else "CPU", 0)) // (1 if gpus else cores)))
        needs = {"num_gpus": 1} if gpus else {"num_cpus": cores}
        actor = self._ray.remote(max_concurrency=_CONCURRENCY, **needs)(_Worker)
        return [actor.remote(spec, staging, batch, cores, os.getcwd(), named) for _ in range(count)]

    def _got(self, get: Callable[..., R], *args: Any) -> R:
        """`get(*args)`; an error of a worker is raised in one line."""
        try:
            return get(*args)
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, FsearchError):
                raise cause from error
            line = str(cause or error).strip().splitlines()[-1]
            raise FsearchError(f"a worker of the Ray cluster failed: {line}") from error
        except TypeError as error:
            raise BadInputError(
                f"images of this source cannot be sent to another process: {str(error).splitlines()[0]}"
            ) from error


def _check_reachable(address: str | None) -> None:
    """Raise OSError where nobody listens at HOST:PORT; Ray itself would go on trying for minutes."""
    host, found, port = (address or "").removeprefix("ray://").rpartition(":")
    if found and port.isdigit():
        socket.create_connection((host, int(port)), _CONNECT_TIMEOUT).close()


def _read_locally(outcome: Outcome) -> Item | None:
    """The image of `outcome` as an item in memory, if the worker failed to read it and the driver does not."""
    if not isinstance(outcome, RejectedItem) or not outcome.reason.startswith(UNREAD):
        return None
    try:
        content = outcome.item.read()
    except (OSError, RejectedImageError):
        return None
    return replace(outcome.item, read=lambda: content)


class _Pool:
    """Submits chunks to workers, and to other workers where a machine is lost."""

    def __init__(self, ray: Any, make: Callable[[], list[Any]]) -> None:
        self._ray, self._make = ray, make
        self._free: list[Any] = make() * _CONCURRENCY
        self._queue: deque[tuple[str, list[Item]]] = deque()
        self._busy: dict[Any, tuple[Any, tuple[str, list[Item]]]] = {}
        self._lost: Counter[str] = Counter()
        self.ahead = 2 * len(self._free)

    def submit(self, name: str, items: list[Item]) -> None:
        """Submit a chunk; metadata stay with the driver."""
        self._queue.append((name, [replace(item, metadata={}) for item in items]))
        self._start()

    def finish(self, name: str) -> None:
        """Wait until the chunk of that name is embedded. Raises the error of any chunk."""
        while any(n == name for _, (n, _) in self._busy.values()) or any(n == name for n, _ in self._queue):
            self._wait_one()

    def _start(self) -> None:
        while self._queue and self._free:
            worker, chunk = self._free.pop(0), self._queue.popleft()
            self._busy[worker.embed.remote(*chunk)] = worker, chunk

    def _wait_one(self) -> None:
        """Wait for one chunk; resubmit one whose worker is lost."""
        (done,), _ = self._ray.wait(list(self._busy), num_returns=1)
        worker, chunk = self._busy.pop(done)
        try:
            self._ray.get(done)
            self._free.append(worker)
        except self._ray.exceptions.RayActorError:
            self._lost[chunk[0]] += 1
            if self._lost[chunk[0]] > _MAX_RETRIES:
                raise
            self._queue.appendleft(chunk)
            self._free = [w for w in self._free if w is not worker]
            if not self._free and not self._busy:
                self._free = self._make() * _CONCURRENCY
        self._start()


class _Worker:
    """Holds one encoder; lives in a process of the cluster."""

    def __init__(
        self, spec: EncoderSpec, staging: Staging, batch: int, cores: int, folder: str, named: Named | None
    ) -> None:
        self._spec, self._staging, self._batch, self._cores, self._named = spec, staging, batch, cores, named
        with contextlib.suppress(OSError):
            os.chdir(folder)  # paths may be relative to where the command was given
        self._loading = threading.Lock()
        self._encoder: Encoder | None = None

    def embed(self, name: str, items: list[Item]) -> None:
        """Embed a chunk and write it to the staging place."""
        import torch

        with self._loading:  # not in __init__: an error while loading is then an error of this chunk
            if self._encoder is None:
                torch.set_num_threads(self._cores)
                self._encoder = load_encoder(self._spec, named=self._named)
        self._staging.write(name, *embed_chunk(items, self._encoder, self._batch))
