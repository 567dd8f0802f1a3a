import pytest
import torch

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.hooks import Site, capture, edit, record_calls

IDS = torch.tensor([[5, 6, 7, 8, 9]])


def attached(model):
    return [
        (name, list(module._forward_hooks), list(module._forward_pre_hooks))
        for name, module in model.named_modules()
    ]


def test_hooks_are_removed_also_after_an_exception(tiny_llama):
    model = tiny_llama.model
    model(input_ids=IDS, output_hidden_states=True)  # the library leaves hooks of its own
    before = attached(model)
    with capture(model, [Site("residual", 0)]):
        assert attached(model) != before
        model(input_ids=IDS)
    assert attached(model) == before
    with pytest.raises(ZeroDivisionError), edit(model, {Site("mlp", 1): lambda x: x / (1 // 0)}):
        model(input_ids=IDS)
    assert attached(model) == before


def test_an_edit_is_seen_by_the_librarys_own_hooks(tiny_llama):
    model = tiny_llama.model
    model(input_ids=IDS, output_hidden_states=True)
    with edit(model, {Site("residual", 0): torch.zeros_like}):
        out = model(input_ids=IDS, output_hidden_states=True)
    assert out.hidden_states[1].abs().max() == 0


@pytest.mark.parametrize("kind", ["residual", "heads", "attention", "mlp"])
def test_an_edit_changes_the_logits_and_none_leaves_them(tiny_llama, kind):
    model = tiny_llama.model
    clean = model(input_ids=IDS).logits
    with edit(model, {Site(kind, 1): lambda x: x * 0.5}):
        assert not torch.equal(model(input_ids=IDS).logits, clean)
    with edit(model, {Site(kind, 1): lambda _: None}):
        assert torch.equal(model(input_ids=IDS).logits, clean)
    assert torch.equal(model(input_ids=IDS).logits, clean)


def test_capture_outside_sees_the_edit_inside(tiny_llama):
    site = Site("heads", 1)
    with (
        capture(tiny_llama.model, [site]) as found,
        edit(tiny_llama.model, {site: lambda x: x + 7}),
    ):
        tiny_llama.model(input_ids=IDS)
        seen = found[site]
    with (
        edit(tiny_llama.model, {site: lambda x: x + 7}),
        capture(tiny_llama.model, [site]) as found,
    ):
        tiny_llama.model(input_ids=IDS)
    torch.testing.assert_close(seen, found[site] + 7)


def test_a_site_that_never_ran_is_an_error(tiny_llama):
    with (
        pytest.raises(CouldNotTest, match="never ran"),
        capture(tiny_llama.model, [Site("mlp", 0)]),
    ):
        pass


def test_names_are_checked_before_anything_is_attached(tiny_llama):
    before = attached(tiny_llama.model)
    with (
        pytest.raises(BadInput, match="layer 9"),
        capture(tiny_llama.model, [Site("mlp", 0), Site("mlp", 9)]),
    ):
        pass
    assert attached(tiny_llama.model) == before
    with pytest.raises(BadInput, match="residual, heads, attention, mlp"):
        Site("resid_post", 0)
    with pytest.raises(BadInput, match="no sites"), capture(tiny_llama.model, []):
        pass


def test_an_edit_may_not_change_the_shape(tiny_llama):
    with (
        pytest.raises(CouldNotTest, match="changed the shape"),
        edit(tiny_llama.model, {Site("mlp", 0): lambda x: x[:, :1]}),
    ):
        tiny_llama.model(input_ids=IDS)


def test_record_calls_keeps_the_arguments(tiny_llama):
    model, layout = tiny_llama.model, tiny_llama.layout
    layers = [layout.layer(model, i) for i in (2, 1)]
    before = attached(model)
    with capture(model, [Site("residual", 0)]) as found, record_calls(model, layers) as calls:
        model(input_ids=IDS)
    assert attached(model) == before
    assert len(calls) == 2
    assert torch.equal(calls[1][0][0], found[Site("residual", 0)])
    with pytest.raises(CouldNotTest, match="never ran"), record_calls(model, layers):
        pass
    with (
        pytest.raises(BadInput, match="parts of the model"),
        record_calls(model, [torch.nn.ReLU()]),
    ):
        pass
