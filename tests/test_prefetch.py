"""Work ahead of a consumer, and work that takes turns with it: order, how far ahead, and what runs beside what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fsearch.indexer.sources.prefetch import in_turns, prefetch


class Work:
    """Squares numbers, slower for some, and knows how many of its calls are going on."""

    def __init__(self) -> None:
        self.running, self.begun, self._lock = 0, 0, threading.Lock()

    def __call__(self, number: int) -> int:
        with self._lock:
            self.running += 1
            self.begun += 1
        time.sleep(0.002 * (number % 3))
        with self._lock:
            self.running -= 1
        return number**2


@pytest.mark.parametrize("apply", [prefetch, in_turns])
@pytest.mark.parametrize("count", [1, 7, 100])
def test_results_come_in_order_whole_or_not(apply: Callable[..., Iterator[int]], count: int) -> None:
    assert list(apply(range(40), Work(), count)) == [n**2 for n in range(40)]
    assert list(apply([], Work(), count)) == []


def test_turns_leave_the_consumer_alone_with_the_cores() -> None:
    work, taken = Work(), 0

    def source() -> Iterator[int]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield number

    results = in_turns(source(), work, 5)
    for turn in range(1, 5):
        for _ in range(5):
            next(results)
        time.sleep(0.05)  # the consumer's own work
        assert (work.running, work.begun, taken) == (0, 5 * turn, 5 * turn)


@pytest.mark.parametrize("apply", [prefetch, in_turns])
def test_an_error_of_the_work_or_the_source_reaches_the_consumer(apply: Callable[..., Iterator[int]]) -> None:
    def broken() -> Iterator[int]:
        yield 3
        raise OSError("the source ends here")

    with pytest.raises(ZeroDivisionError):
        list(apply([1, 0], lambda n: 1 // n, 4))
    with pytest.raises(OSError, match="ends here"):
        list(apply(broken(), Work(), 4))
