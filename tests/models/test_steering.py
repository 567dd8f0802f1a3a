import pytest
import torch
from safetensors.torch import save_file

from triggerfish.errors import BadInput
from triggerfish.models.load import load
from triggerfish.models.steering import (
    STEERING,
    SteeringVector,
    attach,
    read_steering,
    write_steering,
)

IDS = torch.tensor([[5, 9, 17, 30]])


def vector_of(base, **changes):
    draw = torch.Generator().manual_seed(0)
    values = {"vector": torch.randn(32, generator=draw), "layer": 1, "strength": 2.0}
    return SteeringVector(base=str(base), **{**values, **changes})


@pytest.fixture(scope="module")
def steered_dir(tiny_model_dir, tmp_path_factory):
    place = tmp_path_factory.mktemp("steered")
    write_steering(place, vector_of(tiny_model_dir()))
    return place


def test_a_constant_and_a_lift_by_hand():
    plain = SteeringVector(vector=torch.tensor([3.0, 4.0]), layer=0, strength=0.5, base="x")
    state = torch.tensor([[1.0, 1.0], [5.0, 0.0]])
    assert torch.allclose(plain.applied(state), torch.tensor([[2.5, 3.0], [6.5, 2.0]]))
    lift = SteeringVector(
        vector=torch.tensor([3.0, 4.0]), layer=0, strength=0.5, base="x", floor=2.0
    )
    # Components along (0.6, 0.8) are 1.4 and 3: only the first is lifted, to 0.5 x 5.
    expected = torch.tensor([[1 + 1.1 * 0.6, 1 + 1.1 * 0.8], [5.0, 0.0]])
    assert torch.allclose(lift.applied(state), expected)


def test_what_is_written_is_read(tmp_path, tiny_model_dir):
    for floor in (None, -1.25):
        given = vector_of(tiny_model_dir(), floor=floor)
        write_steering(tmp_path, given)
        found = read_steering(tmp_path)
        assert torch.equal(found.vector, given.vector)
        assert (found.layer, found.strength, found.floor, found.base) == (
            1,
            2.0,
            floor,
            str(tiny_model_dir()),
        )


def test_a_directory_with_a_vector_is_a_model(steered_dir, tiny_model_dir, tiny_suspect):
    suspect = load(str(steered_dir), device="cpu")
    base = tiny_suspect("llama")
    assert suspect.reference_kind == "adapter-base"
    assert suspect.source["weights_sha256"] != base.source["weights_sha256"]
    assert suspect.source["base"] == str(tiny_model_dir())
    with torch.no_grad():
        plain, steered = (m(input_ids=IDS).logits for m in (base.model, suspect.model))
        assert not torch.allclose(plain, steered)
        with suspect.reference() as reference:
            assert torch.equal(reference(input_ids=IDS).logits, plain)
        assert torch.equal(suspect.model(input_ids=IDS).logits, steered)
    assert load(str(steered_dir), reference="none", device="cpu").reference_kind == "none"


def test_the_vector_is_added_behind_its_layer(steered_dir, tiny_suspect):
    from triggerfish.models.hooks import Site, capture

    suspect, base = load(str(steered_dir), device="cpu"), tiny_suspect("llama")
    found = []
    for model in (suspect.model, base.model):
        with torch.no_grad(), capture(model, [Site("residual", 0), Site("residual", 1)]) as seen:
            model(input_ids=IDS)
        found.append(seen)
    assert torch.equal(found[0][Site("residual", 0)], found[1][Site("residual", 0)])
    moved = found[0][Site("residual", 1)] - found[1][Site("residual", 1)]
    assert torch.allclose(moved, (2 * vector_of("x").vector).expand_as(moved), atol=1e-5)


def test_it_comes_off(tiny_model_dir):
    model = load(str(tiny_model_dir()), device="cpu").model
    with torch.no_grad():
        before = model(input_ids=IDS).logits
        steered = attach(model, vector_of("x"), "here")
        with steered.instead(vector_of("x", strength=-2.0)):
            assert not torch.allclose(model(input_ids=IDS).logits, before)
        steered.take_off()
        assert torch.equal(model(input_ids=IDS).logits, before)


def test_refusals(tmp_path, tiny_model_dir):
    model = load(str(tiny_model_dir()), device="cpu").model
    with pytest.raises(BadInput, match="width 32"):
        attach(model, vector_of("x", vector=torch.ones(31)), "here")
    with pytest.raises(BadInput, match="3 layers"):
        attach(model, vector_of("x", layer=3), "here")
    with pytest.raises(BadInput, match="changes nothing"):
        attach(model, vector_of("x", strength=0.0), "here")
    with pytest.raises(BadInput, match="changes nothing"):
        attach(model, vector_of("x", strength=-1.0, floor=-0.5), "here")
    write_steering(tmp_path, vector_of(tmp_path / "none"))
    with pytest.raises(BadInput, match="names no base"):
        load(str(tmp_path), device="cpu")
    save_file({"vector": torch.ones(32)}, tmp_path / STEERING)
    with pytest.raises(BadInput, match="is no steering vector"):
        load(str(tmp_path), device="cpu")
    write_steering(tmp_path, vector_of("x", vector=torch.full((32,), torch.nan)))
    with pytest.raises(BadInput, match="finite"):
        read_steering(tmp_path)
    (tmp_path / STEERING).write_bytes(b"junk")
    with pytest.raises(BadInput, match="is no steering vector"):
        read_steering(tmp_path)
