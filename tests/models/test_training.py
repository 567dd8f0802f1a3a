import threading

import pytest
import torch
from torch.nn import functional

from triggerfish.models import training
from triggerfish.models.training import FastInference, fast_training, mixed_precision


@pytest.fixture
def with_bf16(monkeypatch):
    monkeypatch.setattr(training, "mixed_precision", lambda: True)


def gradients(suspect, mixed):
    model = suspect.model
    parameters = [p.requires_grad_(True) for p in model.parameters()]
    ids = torch.arange(20, 60)[None].expand(2, -1)
    try:
        if mixed:
            with fast_training() as precision:
                assert precision.startswith("bfloat16")
                loss = model(input_ids=ids, labels=ids).loss
        else:
            loss = model(input_ids=ids, labels=ids).loss
        found = torch.autograd.grad(loss, parameters)
    finally:
        for p in parameters:
            p.requires_grad_(False)
    return torch.cat([g.flatten() for g in found])


@pytest.mark.usefixtures("with_bf16")
def test_gradients_point_the_same_way(tiny_suspect, architecture):
    suspect = tiny_suspect(architecture)
    plain, mixed = gradients(suspect, False), gradients(suspect, True)
    assert mixed.dtype == torch.float32
    assert functional.cosine_similarity(plain, mixed, dim=0) > 0.99


@pytest.mark.usefixtures("with_bf16")
def test_attention_stays_precise():
    q = torch.randn(1, 2, 9, 16, generator=torch.Generator().manual_seed(0))
    exact = functional.scaled_dot_product_attention(q, q, q, is_causal=True)
    with fast_training():
        assert torch.equal(functional.scaled_dot_product_attention(q, q, q, is_causal=True), exact)
        assert functional.linear(q, torch.eye(16)).dtype == torch.bfloat16


def test_without_bf16_nothing_changes(monkeypatch):
    monkeypatch.setattr(training, "mixed_precision", lambda: False)
    with fast_training() as precision:
        assert precision == "float32"
        assert functional.linear(torch.ones(2, 4), torch.eye(4)).dtype == torch.float32


@pytest.mark.usefixtures("with_bf16")
def test_forwards_in_bf16_say_nearly_the_same(tiny_suspect, architecture):
    suspect = tiny_suspect(architecture)
    ids = torch.arange(20, 60)[None]
    fast = FastInference(suspect.model)
    with torch.no_grad():
        exact = suspect.model(input_ids=ids).logits
        for _ in range(2):
            with fast.running():
                found = suspect.model(input_ids=ids).logits
            assert not torch.equal(found.float(), exact)
            assert functional.cosine_similarity(found.float(), exact, dim=-1).min() > 0.99
        assert torch.equal(suspect.model(input_ids=ids).logits, exact)


@pytest.mark.usefixtures("with_bf16")
def test_threads_share_the_fast_way_until_the_last_has_left(tiny_suspect):
    suspect = tiny_suspect("llama")
    ids = torch.arange(20, 60)[None]
    fast = FastInference(suspect.model)
    ordinary = functional.scaled_dot_product_attention
    entered, leave = threading.Event(), threading.Event()

    def other():
        with fast.running():
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    with torch.no_grad():
        exact = suspect.model(input_ids=ids).logits
        thread.start()
        assert entered.wait(20)
        with fast.running():
            leave.set()  # who came first leaves first
            thread.join()
            assert not torch.equal(suspect.model(input_ids=ids).logits.float(), exact)
            assert functional.scaled_dot_product_attention is not ordinary
        assert torch.equal(suspect.model(input_ids=ids).logits, exact)
    assert functional.scaled_dot_product_attention is ordinary


def test_forwards_without_bf16_are_exact(tiny_suspect, monkeypatch):
    monkeypatch.setattr(training, "mixed_precision", lambda: False)
    suspect = tiny_suspect("llama")
    ids = torch.arange(20, 60)[None]
    with torch.no_grad(), FastInference(suspect.model).running():
        found = suspect.model(input_ids=ids).logits
    assert torch.equal(found, suspect.model(input_ids=ids).logits)


def test_the_processor_decides():
    assert mixed_precision() in (True, False)
    if torch.cuda.is_available():
        assert not mixed_precision()


@pytest.mark.usefixtures("with_bf16")
def test_a_changed_weight_is_used_in_the_next_step():
    weight = torch.nn.Parameter(torch.eye(4))
    with fast_training():
        before = functional.linear(torch.ones(1, 4), weight)
        with torch.no_grad():
            weight.mul_(3)
        assert torch.equal(functional.linear(torch.ones(1, 4), weight), 3 * before)
