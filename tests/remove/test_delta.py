import pytest
import torch
from torch import nn

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.load import load
from triggerfish.remove.delta import applied, choose, editing


def state(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(model, before):
    return all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def two_by_two():
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 4.0]]))
    return model


def test_norms_by_hand():
    model = two_by_two()
    with editing(model) as loan, torch.no_grad():
        model.weight += torch.tensor([[0.6, 0.8]])
        delta = loan.delta()
    assert delta.norm == pytest.approx(1.0)
    assert delta.relative == pytest.approx(0.2)
    assert model.weight.tolist() == [[3.0, 4.0]]
    with applied(model, delta):
        assert model.weight.tolist() == [[pytest.approx(3.6), pytest.approx(4.8)]]
    assert model.weight.tolist() == [[3.0, 4.0]]


def test_the_suspect_comes_back_after_an_exception(tiny_llama):
    model = tiny_llama.model
    before, flags = state(model), [p.requires_grad for p in model.parameters()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]

    def train():
        with editing(model) as loan:
            assert all(p.requires_grad for p in loan.parameters.values())
            model.train()
            sum(p.square().sum() for p in model.parameters()).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p.add_(1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert same(model, before)
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(p.grad is None for p in model.parameters())
    assert not any(module.training for module in model.modules())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]


def test_changed_nothing_is_refused():
    with editing(two_by_two()) as loan, pytest.raises(CouldNotTest, match="weight change 0"):
        loan.delta()


def test_nan_is_refused():
    model = two_by_two()
    with editing(model) as loan, torch.no_grad():
        model.weight.fill_(float("nan"))
        with pytest.raises(CouldNotTest, match="not finite"):
            loan.delta()


def test_an_adapter_is_trained_alone(tiny_adapter_dir):
    suspect = load(str(tiny_adapter_dir()), device="cpu")
    kind, names = choose(suspect.model, "auto")
    assert kind == "adapter"
    assert names
    assert all("lora_" in name for name in names)
    kind, full = choose(suspect.model, "full")
    assert kind == "full"
    assert not set(full) & set(names)


def test_an_adapter_cannot_be_asked_of_a_plain_model(tiny_llama):
    with pytest.raises(BadInput, match="must have an adapter"):
        choose(tiny_llama.model, "adapter")
