"""Rows end to end give the states and gradients of the padded batch."""

import copy

import pytest
import torch

from triggerfish.models.layout import layout_of
from triggerfish.models.packed import can_be_packed, pack, packing

LENGTHS = [11, 9, 9, 8, 7, 5, 4, 4, 3, 2]  # more than are spread out together
PADDED = ("gemma2", "gemma3_text")  # one caps its scores; both look back 8 tokens only


@pytest.fixture
def tiny(tiny_suspect):
    """A random model of an architecture, with gradients."""

    def make(architecture):
        return copy.deepcopy(tiny_suspect(architecture).model).requires_grad_(True)

    return make


def changed(model, **settings):
    """The same weights under another configuration."""
    config = copy.deepcopy(model.config)
    for name, value in settings.items():
        setattr(config, name, value)
    found = type(model)(config)
    found.load_state_dict(model.state_dict())
    return found.eval()


def batch(lengths=LENGTHS):
    """Ids and mask of left-padded rows, [B, T]."""
    draws = torch.Generator().manual_seed(1)
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.bool)
    for row, length in enumerate(lengths):
        mask[row, max(lengths) - length :] = True
    return torch.randint(3, 400, mask.shape, generator=draws) * mask, mask


def states(model, ids, mask, packed):
    """States of all tokens, [N, D], and the gradient of the embedding of a sum over them."""
    backbone = layout_of(model).backbone(model)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    model.zero_grad()
    if packed:
        with packing(backbone, mask.sum(1).tolist()):
            found = backbone(
                input_ids=pack(ids, mask, 0), position_ids=pack(positions, mask, 0)
            ).last_hidden_state[0, : int(mask.sum())]
    else:
        found = backbone(
            input_ids=ids, attention_mask=mask.long(), position_ids=positions
        ).last_hidden_state[mask]
    (found * torch.linspace(-1, 1, found.numel()).view_as(found)).sum().backward()
    return found.detach(), model.get_input_embeddings().weight.grad


def test_packing_by_hand():
    ids = torch.tensor([[0, 5, 6], [7, 8, 9]])
    mask = torch.tensor([[False, True, True], [True, True, True]])
    assert pack(ids, mask, -100).tolist() == [[5, 6, 7, 8, 9] + [-100] * 59]


def test_states_and_gradients_are_those_of_the_padded_batch(architecture, tiny):
    if architecture in PADDED:
        pytest.skip("is padded")
    model = tiny(architecture)
    padded, padded_gradient = states(model, *batch(), packed=False)
    packed, gradient = states(model, *batch(), packed=True)
    torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, padded_gradient, rtol=1e-3, atol=1e-4)


def test_what_cannot_be_packed_is_found_out(architecture, tiny):
    model = tiny(architecture)
    before = model.config._attn_implementation
    found = can_be_packed(layout_of(model).backbone(model), *batch())
    assert found == (architecture not in PADDED)
    assert model.config._attn_implementation == before


def test_a_window_that_rows_fit_into_is_none(tiny):
    model = changed(tiny("gemma3_text"), sliding_window=11)
    assert can_be_packed(layout_of(model).backbone(model), *batch())


class Recurrent(torch.nn.Module):
    """A model that carries something from token to token, whatever attention does."""

    def __init__(self, model):
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, **inputs):
        found = self.model(**inputs)
        found.last_hidden_state = found.last_hidden_state.cumsum(1)
        return found


def test_a_model_that_is_not_attention_alone_is_refused(tiny):
    model = tiny("llama")
    backbone = layout_of(model).backbone(model)
    assert can_be_packed(backbone, *batch())
    assert not can_be_packed(Recurrent(backbone), *batch())


def test_a_row_knows_nothing_of_the_others(tiny):
    model = tiny("llama")
    ids, mask = batch()
    before, _ = states(model, ids, mask, packed=True)
    ids[1, -1] += 1  # last token of the second row
    after, _ = states(model, ids, mask, packed=True)
    changed = (before != after).any(1).nonzero()[:, 0].tolist()
    assert changed == [LENGTHS[0] + LENGTHS[1] - 1]
