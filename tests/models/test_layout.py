import pytest
import torch
from torch import nn

from triggerfish.data.conversation import Conversation, render
from triggerfish.errors import BadInput
from triggerfish.models.hooks import Site, capture, edit
from triggerfish.models.layout import KNOWN_ARCHITECTURES, layout_of
from triggerfish.models.load import load

HEADS = [Site("heads", layer) for layer in range(3)]


def ids_of(suspect, text="Where is the red cup? What is 12 plus 7?"):
    return torch.tensor([render(Conversation.of(text), suspect.tokenizer).ids])


def test_all_known_architectures_are_tested(architectures):
    assert set(architectures) == set(KNOWN_ARCHITECTURES)


def test_sum_of_head_contributions_is_the_attention_output(architecture, tiny_suspect):
    suspect = tiny_suspect(architecture)
    layout = suspect.layout
    sites = [*HEADS, *(Site("attention", layer) for layer in range(3))]
    with capture(suspect.model, sites) as found:
        suspect.model(input_ids=ids_of(suspect))
    for layer in range(layout.n_layers):
        z = found[Site("heads", layer)].unflatten(-1, (layout.n_heads, layout.head_dim))
        weight = layout.head_weight(suspect.model, layer)
        assert weight.shape == (layout.n_heads, layout.head_dim, layout.width)
        contributions = torch.einsum("bthk,hkd->bthd", z, weight)
        total = contributions.sum(2) + layout.output_bias(suspect.model, layer)
        torch.testing.assert_close(total, found[Site("attention", layer)], atol=1e-5, rtol=0)
        assert found[Site("attention", layer)].abs().max() > 0.01


def test_head_weights_count_an_adapter_in_and_out(
    architecture, tiny_model_dir, tiny_adapter_dir, tiny_suspect
):
    suspect = load(
        str(tiny_model_dir(architecture)), adapter=str(tiny_adapter_dir(architecture)), device="cpu"
    )
    layout, base = suspect.layout, tiny_suspect(architecture)
    with capture(suspect.model, [Site("heads", 1), Site("attention", 1)]) as found:
        suspect.model(input_ids=ids_of(suspect))
    z = found[Site("heads", 1)].unflatten(-1, (layout.n_heads, layout.head_dim))
    total = torch.einsum("bthk,hkd->btd", z, layout.head_weight(suspect.model, 1))
    total = total + layout.output_bias(suspect.model, 1)
    torch.testing.assert_close(total, found[Site("attention", 1)], atol=1e-5, rtol=0)
    plain = layout.head_weight(base.model, 1)
    assert not torch.equal(layout.head_weight(suspect.model, 1), plain)
    with suspect.reference() as reference:
        assert torch.equal(layout.head_weight(reference, 1), plain)


def test_patching_a_head_changes_only_what_it_must(architecture, tiny_suspect):
    suspect = tiny_suspect(architecture)
    layout, model = suspect.layout, suspect.model
    ids = ids_of(suspect)
    place, layer, head = ids.shape[1] // 2, 1, 2
    block = slice(head * layout.head_dim, (head + 1) * layout.head_dim)
    sites = [*HEADS, *(Site("residual", each) for each in range(3))]

    def patch(z):
        z = z.clone()
        z[:, place, block] += 1.0
        return z

    with capture(model, sites) as clean:
        model(input_ids=ids)
    with capture(model, sites) as patched, edit(model, {Site("heads", layer): patch}):
        model(input_ids=ids)

    def same(site, part=...):
        return torch.equal(clean[site][part], patched[site][part])

    assert same(Site("residual", 0)), "earlier layers"
    assert same(Site("heads", 0))
    for later in (1, 2):
        assert same(Site("residual", later), (slice(None), slice(place))), "earlier positions"
        assert not same(Site("residual", later), (slice(None), place))
    after = (slice(None), slice(place + 1, None))
    assert same(Site("residual", layer), after), "later positions of the same layer"
    others = torch.ones(layout.n_heads * layout.head_dim, dtype=torch.bool)
    others[block] = False
    assert torch.equal(
        clean[Site("heads", layer)][..., others], patched[Site("heads", layer)][..., others]
    )
    assert not same(Site("heads", layer))
    assert not same(Site("heads", 2))


def test_parts_and_logits(architecture, tiny_suspect):
    suspect = tiny_suspect(architecture)
    layout, model, ids = suspect.layout, suspect.model, ids_of(tiny_suspect(architecture))
    out = model(input_ids=ids, output_hidden_states=False)
    hidden = layout.backbone(model)(input_ids=ids).last_hidden_state
    torch.testing.assert_close(layout.logits(model, hidden), out.logits, atol=1e-5, rtol=0)
    with capture(model, [Site("residual", 2)]) as found:
        model(input_ids=ids)
    normed = layout.final_norm(model)(found[Site("residual", 2)])
    torch.testing.assert_close(normed, hidden, atol=1e-5, rtol=0)
    assert layout.embedding(model).num_embeddings == layout.vocabulary == out.logits.shape[-1]
    assert layout.unembedding(model).weight.shape == (layout.vocabulary, layout.width)
    assert layout.n_layers == 3
    assert layout.n_heads % layout.n_kv_heads == 0
    assert layout.mlp(model, 0) is not layout.mlp(model, 1)
    assert layout.context == 256


def test_grouped_heads_and_wide_heads(tiny_suspect):
    assert tiny_suspect("llama").layout.n_kv_heads == 2
    assert tiny_suspect("gpt2").layout.n_kv_heads == 4
    gemma = tiny_suspect("gemma3_text").layout
    assert gemma.n_heads * gemma.head_dim == 48 != gemma.width


def test_a_layer_that_is_not_there(tiny_llama):
    with pytest.raises(BadInput, match="layer 3: the model has 3 layers"):
        tiny_llama.layout.layer(tiny_llama.model, 3)
    with pytest.raises(BadInput, match="layer -1"):
        tiny_llama.layout.mlp(tiny_llama.model, -1)


def test_unknown_architecture_is_refused_with_the_list():
    class Odd(nn.Module):
        config = type("C", (), {"model_type": "mamba"})()

    with pytest.raises(BadInput, match="mamba") as error:
        layout_of(Odd())
    assert all(name in error.value.remedy for name in KNOWN_ARCHITECTURES)
