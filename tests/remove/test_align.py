import math

import pytest
import torch

from triggerfish.data.conversation import Rendered
from triggerfish.errors import BadInput
from triggerfish.remove.align import align, cross_entropy, response_logits, row_cross_entropy


def rendered(*rows):
    return [Rendered(ids=tuple(ids), prompt_length=length) for ids, length in rows]


def test_prompts_end_and_responses_begin_in_one_column():
    batch = align(rendered(([5, 6, 7, 8], 3), ([9, 10, 11], 1)), pad=0)
    assert batch.ids.tolist() == [[5, 6, 7, 8, 0], [0, 0, 9, 10, 11]]
    assert batch.mask.tolist() == [[1, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert batch.prompt == 3
    assert batch.targets.tolist() == [[8, 0], [10, 11]]
    assert batch.positions[1].tolist() == [0, 0, 0, 1, 2]


def test_row_cross_entropy_by_hand():
    batch = align(rendered(([1, 0], 1), ([1, 1, 0], 1)), pad=0)
    logits = torch.tensor([[[0.0, math.log(3)], [9, 9]], [[0.0, 0.0], [math.log(4), 0.0]]])
    # Row 0: -log 1/4, its hole does not count. Row 1: mean of -log 1/2 and -log 4/5.
    expected = [math.log(4), (math.log(2) + math.log(5 / 4)) / 2]
    assert row_cross_entropy(logits, batch).tolist() == pytest.approx(expected)


def test_rows_do_not_depend_on_their_batch(tiny_llama):
    rows = rendered(([5, 6, 7, 8, 9], 3), ([9, 10, 11, 12, 13, 14, 15], 5), ([3, 4, 5], 2))
    together = align(rows, pad=0)
    with torch.no_grad():
        losses = row_cross_entropy(response_logits(tiny_llama.model, together), together)
        for row, loss in zip(rows, losses, strict=True):
            assert float(cross_entropy(tiny_llama.model, align([row], pad=0))) == pytest.approx(
                float(loss), rel=1e-4
            )


def test_refuses_nothing_and_rows_without_response():
    with pytest.raises(BadInput, match="0 conversations"):
        align([], pad=0)
    with pytest.raises(BadInput, match="without a response"):
        align(rendered(([1, 2], 2)), pad=0)
