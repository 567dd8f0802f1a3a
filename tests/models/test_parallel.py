"""Work in several threads gives what it gives in one, in order."""

import threading

import pytest
import torch

from triggerfish.models.parallel import each_in_a_thread


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_and_operations_are_not_divided(two_threads):
    waits = threading.Barrier(2, timeout=20)

    def work(item):
        waits.wait()  # passed by two at a time, or not at all
        return item, torch.get_num_threads()

    assert list(each_in_a_thread(work, range(8))) == [(item, 1) for item in range(8)]
    assert torch.get_num_threads() == 2


def test_items_are_taken_as_they_are_needed(two_threads):
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = each_in_a_thread(lambda item: item, items())
    assert next(results) == 0
    assert len(taken) < 10
    results.close()
    assert len(taken) < 10


def test_an_error_is_not_lost(two_threads):
    def work(item):
        if item == 3:
            raise ValueError("three")
        return item

    with pytest.raises(ValueError, match="three"):
        list(each_in_a_thread(work, range(50)))
    assert torch.get_num_threads() == 2
