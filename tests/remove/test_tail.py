"""The cached tail equals full forwards with hooks, for every architecture."""

import pytest
import torch

from triggerfish.data.conversation import Rendered
from triggerfish.errors import BadInput
from triggerfish.models.hooks import Site, edit
from triggerfish.models.tail import record
from triggerfish.remove.align import align

ARCHITECTURES = (
    "llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox"
)  # fmt: skip


def batch():
    rows = []
    generator = torch.Generator().manual_seed(3)
    for prompt, response in ((9, 2), (14, 4), (7, 3)):
        ids = torch.randint(3, 300, (prompt + response,), generator=generator).tolist()
        rows.append(Rendered(ids=tuple(ids), prompt_length=prompt))
    return align(rows, pad=0)


@torch.no_grad()
def full(model, layer, delta, rows):
    shift = torch.zeros(rows.ids.shape[1], delta.shape[1])
    shift[rows.prompt - len(delta) : rows.prompt] = delta
    with edit(model, {Site("residual", layer): lambda hidden: hidden + shift}):
        out = model(
            input_ids=rows.ids,
            attention_mask=rows.mask,
            position_ids=rows.positions,
            use_cache=False,
        )
    return out.logits[:, rows.prompt - 1 :].float()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("layer", [0, 1])
def test_equals_full_hooks(name, layer, tiny_suspect):
    model, rows, n = tiny_suspect(name).model, batch(), 3
    width = model.config.hidden_size
    delta = torch.randn(n, width, generator=torch.Generator().manual_seed(5))
    responses = rows.targets.shape[1]
    tail = record(model, layer, rows.ids, rows.mask, n + responses)
    shift = torch.nn.functional.pad(delta, (0, 0, 0, responses))
    with torch.no_grad():
        found = tail.logits(tail.state + shift, responses + 1)
        again = tail.logits(tail.state + shift, responses + 1)
    expected = full(model, layer, delta, rows)
    real = torch.cat([torch.ones(3, 1), rows.weight], dim=1).bool()
    scale = float(expected.abs().max())
    assert (found - expected)[real].abs().max() < 1e-5 * max(1.0, scale)
    assert torch.equal(found, again)
    assert (full(model, layer, 0 * delta, rows) - expected)[real].abs().max() > 1e-3 * scale


def test_gradient_reaches_the_state_and_no_weight(tiny_llama):
    model, rows = tiny_llama.model, batch()
    tail = record(model, 1, rows.ids, rows.mask, 6)
    state = tail.state.clone().requires_grad_()
    tail.logits(state, 2).square().sum().backward()
    assert state.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(("layer", "columns"), [(2, 3), (-1, 3), (0, 0), (0, 18)])
def test_refuses_what_cannot_be_rerun(layer, columns, tiny_llama):
    rows = batch()
    with pytest.raises(BadInput):
        record(tiny_llama.model, layer, rows.ids, rows.mask, columns)
