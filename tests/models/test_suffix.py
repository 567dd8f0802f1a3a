"""Suffix-only patching against plain full-hook patching, on every architecture."""

import pytest
import torch

from explain.tiny import CONFIGS, full_logprobs, prompts_of, tiny
from triggerfish.errors import BadInput
from triggerfish.models.layout import layout_of
from triggerfish.models.prefix import prefill
from triggerfish.models.suffix import suffix

PROMPTS = prompts_of([5, 9, 3, 1, 12])
RESPONSES = prompts_of([4, 6, 1, 3, 6], seed=1)
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=list(CONFIGS))
def model(request):
    return tiny(request.param)


@pytest.fixture(scope="module")
def run(model):
    return suffix(prefill(model, PROMPTS), RESPONSES)


def means_of(layout, seed=4):
    return torch.randn(
        layout.n_layers,
        layout.n_heads,
        layout.head_dim,
        generator=torch.Generator().manual_seed(seed),
    )


def each_head(mean, n_heads):
    def fn(value):
        out = value.clone()
        blocks = out.view(*out.shape[:-1], n_heads, -1)
        heads = torch.arange(n_heads)
        blocks[:, heads, heads] = mean
        return out

    return fn


def test_unpatched_rows_equal_the_whole_model(model, run):
    for i, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        whole = full_logprobs(model, prompt, response)
        assert torch.allclose(run.logprobs[i, : len(response)], whole, atol=TOLERANCE)
        assert run.logprobs[i, len(response) :].eq(0).all()


def test_scores_are_the_models_own_loss(model, run):
    for i, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        ids = torch.tensor([[*prompt, *response]])
        labels = ids.clone()
        labels[:, : len(prompt)] = -100
        with torch.no_grad():
            loss = model(input_ids=ids, labels=labels).loss
        mean = run.logprobs[i].sum() / len(response)
        assert torch.allclose(-mean, loss, atol=TOLERANCE)


def test_patching_each_head_equals_full_hooks(model, run):
    layout = layout_of(model)
    means = means_of(layout)
    moved = 0.0
    for layer in range(layout.n_layers):
        fn = each_head(means[layer], layout.n_heads)
        got = run.patch(layer, layout.n_heads, {"heads": fn})  # [N, H, T]
        for j in range(layout.n_heads):

            def one(row, layer=layer, j=j):
                out = row.clone().view(-1, layout.n_heads, layout.head_dim)
                out[:, j] = means[layer, j]
                return out.view(row.shape)

            edits = [(layout.attention_output(model, layer), "input", one)]
            for i, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
                whole = full_logprobs(model, prompt, response, edits)
                assert torch.allclose(got[i, j, : len(response)], whole, atol=TOLERANCE)
                moved = max(moved, (whole - run.logprobs[i, : len(response)]).abs().max().item())
    assert moved > 0.1  # the patches do something, so equality means something


@pytest.mark.parametrize("kind", ["mlp", "residual", "attention"])
def test_patching_other_sites_equals_full_hooks(model, run, kind):
    layout = layout_of(model)
    value = torch.randn(layout.width, generator=torch.Generator().manual_seed(5))
    where = {"mlp": layout.mlp, "residual": layout.layer, "attention": layout.attention_output}
    for layer in range(layout.n_layers):
        got = run.patch(layer, 1, {kind: lambda old: value.expand_as(old).clone()})
        edits = [(where[kind](model, layer), "output", lambda row: value.expand_as(row))]
        for i, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
            whole = full_logprobs(model, prompt, response, edits)
            assert torch.allclose(got[i, 0, : len(response)], whole, atol=TOLERANCE)


def test_a_patch_with_itself_changes_nothing(run):
    for layer in range(len(run.inputs) - 1):
        for kind in ("heads", "attention", "mlp", "residual"):
            got = run.patch(layer, 3, {kind: torch.clone})
            assert torch.allclose(got, run.logprobs[:, None].expand_as(got), atol=TOLERANCE)


def test_patching_all_heads_is_patching_the_attention_output(model, run):
    layout = layout_of(model)
    means = means_of(layout)
    for layer in range(layout.n_layers):
        row = means[layer].flatten()
        with torch.no_grad():
            output = layout.attention_output(model, layer)(row)
        heads = run.patch(layer, 1, {"heads": lambda old, row=row: row.expand_as(old).clone()})
        whole = run.patch(
            layer, 1, {"attention": lambda old, output=output: output.expand_as(old).clone()}
        )
        assert torch.allclose(heads, whole, atol=TOLERANCE)


def test_zero_ablation_is_zeroed_columns_of_the_output_projection(model, run):
    layout = layout_of(model)
    layer, j = 1, 2

    def zero(value):
        out = value.clone()
        out.view(*out.shape[:-1], layout.n_heads, -1)[..., j, :] = 0
        return out

    got = run.patch(layer, 1, {"heads": zero})
    weight = layout.attention_output(model, layer).weight.detach()
    columns = slice(j * layout.head_dim, (j + 1) * layout.head_dim)
    changed = weight.clone()
    if type(layout.attention_output(model, layer)).__name__ == "Conv1D":
        changed[columns] = 0
    else:
        changed[:, columns] = 0
    module = layout.attention_output(model, layer)

    for i, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        seen = {}

        def keep(row, seen=seen):
            seen["row"] = row
            return row

        def zeroed(row, seen=seen):
            before = module.weight.data
            module.weight.data = changed
            try:
                return module.forward(seen["row"])
            finally:
                module.weight.data = before

        whole = full_logprobs(
            model, prompt, response, [(module, "input", keep), (module, "output", zeroed)]
        )
        assert torch.allclose(got[i, 0, : len(response)], whole, atol=TOLERANCE)


def test_the_sum_of_heads_is_the_attention_output(model, run):
    layout = layout_of(model)
    for layer in range(layout.n_layers):
        module = layout.attention_output(model, layer)
        z = run.heads[:, layer].view(len(PROMPTS), layout.n_heads, layout.head_dim)
        alone = torch.einsum("nhd,hdw->nhw", z, layout.head_weight(model, layer))  # [N, H, D]
        with torch.no_grad():
            whole = module(run.heads[:, layer])
        parts = alone.sum(dim=1) + layout.output_bias(model, layer)
        assert torch.allclose(parts, whole, atol=TOLERANCE)


def test_rows_do_not_depend_on_the_batch(model, run):
    layout = layout_of(model)
    fn = each_head(means_of(layout)[0], layout.n_heads)
    together = run.patch(0, layout.n_heads, {"heads": fn})
    for i, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        alone = suffix(prefill(model, [prompt]), [response]).patch(0, layout.n_heads, {"heads": fn})
        assert torch.allclose(together[i, :, : len(response)], alone[0], atol=TOLERANCE)


def test_the_model_comes_back_unchanged(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    model.train()
    try:
        run = suffix(prefill(model, PROMPTS), RESPONSES)
        run.patch(0, 2, {"heads": torch.zeros_like})
        assert model.training
    finally:
        model.eval()
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]


def test_empty_input_is_refused():
    model = tiny("llama")
    with pytest.raises(BadInput, match="prompts"):
        prefill(model, [])
    with pytest.raises(BadInput, match="response"):
        suffix(prefill(model, PROMPTS), RESPONSES[:2])
    with pytest.raises(BadInput, match="edits"):
        suffix(prefill(model, PROMPTS), RESPONSES).patch(9, 1, {"heads": torch.clone})
