"""Independent forwards on the CPU, a few at a time, instead of all threads for one.

torch divides every operation among its threads. Those of small models are too short for that: 6,920
short rows take the lab 10.2 s on two cores so, and 7.4 s with a thread for each batch. Where there
are many threads a few batches share them: each batch that is under way takes memory.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

AT_A_TIME = 4
Item = TypeVar("Item")
Found = TypeVar("Found")


def each_in_a_thread(work: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """What `work` makes of every item, in order; at most `AT_A_TIME` share torch's threads.

    Args:
        work: Changes nothing that another call reads. It runs in other threads, where gradients,
            autocast and the like are as torch begins with them.
        items: Taken as they are needed.
    """
    threads = torch.get_num_threads()
    at_a_time = min(threads, AT_A_TIME)
    waiting: deque[Future[Found]] = deque()
    try:
        with ThreadPoolExecutor(
            at_a_time, initializer=torch.set_num_threads, initargs=(threads // at_a_time,)
        ) as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(work, item))
                    if len(waiting) > 2 * at_a_time:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:  # after an error, or when nobody wants the rest
                for each in waiting:
                    each.cancel()
    finally:
        torch.set_num_threads(threads)
