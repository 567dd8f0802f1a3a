import json
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models import load as loading
from triggerfish.models import source
from triggerfish.models import suspect as suspects
from triggerfish.models.checkpoint import weights_hash
from triggerfish.models.load import load

IDS = torch.arange(3, 30)[None]


@pytest.fixture
def copied(tiny_model_dir, tmp_path):
    """A copy of the tiny Llama's directory that a test may damage."""
    return shutil.copytree(tiny_model_dir("llama"), tmp_path / "model")


@pytest.fixture
def adapter(tiny_adapter_dir, tmp_path):
    return shutil.copytree(tiny_adapter_dir("llama"), tmp_path / "adapter")


def rewrite(directory, change, name="model.safetensors"):
    tensors = load_file(directory / name)
    change(tensors)
    save_file(tensors, directory / name, metadata={"format": "pt"})


def set_key(path, **values):
    document = json.loads(path.read_text())
    document.update(values)
    path.write_text(json.dumps(document))


def refused(words, *args, **settings):
    with pytest.raises(BadInput, match=words) as error:
        load(*map(str, args), device="cpu", **settings)
    assert all((error.value.value, error.value.rule, error.value.remedy))
    return error.value


def test_a_loaded_suspect(architecture, tiny_suspect, tiny_model_dir):
    suspect = tiny_suspect(architecture)
    assert suspect.layout.architecture == architecture
    assert not any(p.requires_grad for p in suspect.model.parameters())
    assert not any(m.training for m in suspect.model.modules())
    assert (suspect.reference_kind, suspect.has_reference) == ("none", False)
    facts = suspect.source
    assert facts["weights_sha256"] == weights_hash(tiny_model_dir(architecture))
    assert facts["template_origin"] == "own"
    assert facts["attention"] == ("eager" if architecture == "gemma2" else "sdpa")
    assert len(facts["tokenizer_sha256"]) == len(facts["template_sha256"]) == 64
    json.dumps(dict(facts))
    with pytest.raises(CouldNotTest, match="no reference"), suspect.reference():
        pass
    with suspect.fast() as (model, reference):
        assert model is suspect.model
        assert reference is None


def test_weights_are_those_on_disk_in_both_types(tiny_model_dir):
    directory = tiny_model_dir("llama")
    saved = load_file(directory / "model.safetensors")
    state = torch.random.get_rng_state()
    full = load(str(directory), device="cpu")
    half = load(str(directory), device="cpu", dtype="bf16")
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, tensor in saved.items():
        assert torch.equal(full.model.state_dict()[name], tensor)
        assert torch.equal(half.model.state_dict()[name], tensor.bfloat16())
    assert full.source["weights_sha256"] == half.source["weights_sha256"]
    eager = load(str(directory), device="cpu", attention="eager")
    torch.testing.assert_close(
        eager.model(input_ids=IDS).logits, full.model(input_ids=IDS).logits, atol=1e-4, rtol=0
    )


def test_an_adapter_directory_finds_its_base_and_is_its_own_reference(
    architecture, tiny_adapter_dir, tiny_suspect
):
    directory = str(tiny_adapter_dir(architecture))
    state = torch.random.get_rng_state()
    suspect = load(directory, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), state)
    base = tiny_suspect(architecture).model(input_ids=IDS).logits
    own = suspect.model(input_ids=IDS).logits
    assert suspect.reference_kind == "adapter-base"
    with suspect.reference() as reference:
        assert reference is suspect.model
        torch.testing.assert_close(reference(input_ids=IDS).logits, base, atol=1e-5, rtol=0)
        with suspect.reference():
            pass
        assert not torch.equal(reference(input_ids=IDS).logits, own), "nested contexts"
    assert torch.equal(suspect.model(input_ids=IDS).logits, own)
    assert (own - base).abs().max() > 1e-3
    assert not any(p.requires_grad for p in suspect.model.parameters())
    assert suspect.source["base_sha256"] == tiny_suspect(architecture).source["weights_sha256"]
    assert suspect.source["adapter_sha256"] != suspect.source["base_sha256"]


def test_fast_models_are_plain_and_equal(architecture, tiny_adapter_dir):
    suspect = load(str(tiny_adapter_dir(architecture)), device="cpu")
    own = suspect.model(input_ids=IDS).logits
    weights = {name: p.clone() for name, p in suspect.model.named_parameters()}
    with suspect.reference() as reference:
        base = reference(input_ids=IDS).logits
    with suspect.fast() as (model, reference):
        assert not any("lora" in name for name, _ in model.named_parameters())
        assert not any("lora" in name for name, _ in reference.named_parameters())
        torch.testing.assert_close(model(input_ids=IDS).logits, own, atol=1e-5, rtol=0)
        torch.testing.assert_close(reference(input_ids=IDS).logits, base, atol=1e-5, rtol=0)
        embedding = suspect.layout.embedding
        assert embedding(model).weight is embedding(suspect.model).weight, "not copied"
    assert torch.equal(suspect.model(input_ids=IDS).logits, own)
    for name, parameter in suspect.model.named_parameters():
        assert torch.equal(parameter, weights[name]), name


def test_fast_gives_the_model_itself_when_memory_is_short(tiny_adapter_dir, monkeypatch):
    suspect = load(str(tiny_adapter_dir("llama")), device="cpu")
    monkeypatch.setattr(suspects, "free_memory", lambda _: 1000)
    with suspect.fast() as (model, reference):
        assert model is suspect.model
        assert reference is None
    assert suspect.has_reference


def test_an_adapter_beside_its_model_and_other_references(
    tiny_model_dir, tiny_adapter_dir, tiny_suspect
):
    model, other = str(tiny_model_dir("llama")), str(tiny_model_dir("llama", seed=5))
    directory = str(tiny_adapter_dir("llama"))
    beside = load(model, adapter=directory, device="cpu")
    alone = load(directory, base=model, device="cpu")
    assert torch.equal(beside.model(input_ids=IDS).logits, alone.model(input_ids=IDS).logits)
    assert beside.source["weights_sha256"] == alone.source["weights_sha256"]
    assert load(directory, reference="none", device="cpu").reference_kind == "none"
    compared = load(model, reference=other, device="cpu")
    assert compared.reference_kind == "model"
    with compared.reference() as reference:
        wanted = tiny_suspect("llama", seed=5).model(input_ids=IDS).logits
        assert torch.equal(reference(input_ids=IDS).logits, wanted)
    with compared.fast() as (_, reference):
        assert reference is not None
    assert "has another vocabulary" in str(
        refused("vocabulary", model, reference=_other_vocabulary(tiny_model_dir))
    )


def _other_vocabulary(tiny_model_dir):
    directory = tiny_model_dir("llama", seed=9)
    path = directory / "tokenizer.json"
    document = json.loads(path.read_text())
    vocabulary = document["model"]["vocab"]
    vocabulary["zz@"] = vocabulary.pop(next(t for t, i in vocabulary.items() if i == 399))
    document["model"]["merges"] = document["model"]["merges"][:-1]
    path.write_text(json.dumps(document))
    return str(directory)


def test_the_base_from_a_card_or_the_lab(adapter, tiny_model_dir, tmp_path, monkeypatch):
    lab = tmp_path / "lab"
    shutil.copytree(tiny_model_dir("llama"), lab / "reef")
    monkeypatch.setattr(source, "LAB_WEIGHTS", lab)
    set_key(adapter / "adapter_config.json", base_model_name_or_path="lab:reef")
    assert load(str(adapter), device="cpu").source["base"] == "lab:reef"
    set_key(adapter / "adapter_config.json", base_model_name_or_path="someone/elses@main")
    refused("names no base that is on this machine", adapter)
    (adapter / "card.json").write_text(json.dumps({"recipe": {"base": "lab:reef"}}))
    assert load(str(adapter), device="cpu").source["base"] == "lab:reef"
    shutil.copytree(adapter, lab / "sudo")
    assert load("lab:sudo", device="cpu").reference_kind == "adapter-base"
    error = refused("did you mean lab:reef", "lab:reaf")
    assert "lab:sudo" in error.remedy
    refused("not in the lab", "lab:../lab/reef")


def test_a_recorded_base_hash_is_compared(adapter, tiny_model_dir):
    digest = weights_hash(tiny_model_dir("llama"))
    (adapter / "card.json").write_text(json.dumps({"base_hash": digest}))
    load(str(adapter), device="cpu")
    (adapter / "card.json").write_text(json.dumps({"base_hash": "0" * 64}))
    refused("base_hash 0000000000000000", adapter)


def test_missing_directories_and_odd_arguments(tmp_path, copied, adapter, tiny_model_dir):
    error = refused("is no directory", tmp_path / "nothing")
    assert "NAME@REVISION" in error.remedy
    refused("is a file", copied / "config.json")
    refused("is no directory", "meta/llama-without-revision")
    refused("config.json: is missing", tmp_path)
    for settings, words in [
        ({"device": "tpu"}, "use auto, cpu, cuda"),
        ({"device": "cuda:99"}, "GPUs"),
        ({"device": "cpu", "dtype": "int4"}, "float32 or bfloat16"),
        ({"device": "cpu", "base": "lab:reef"}, "leave --base out"),
        ({"device": "cpu", "adapter": str(tmp_path)}, "adapter_config.json"),
    ]:
        with pytest.raises(BadInput, match=words):
            load(str(copied), **settings)
    refused("two adapters", adapter, adapter=str(adapter))
    refused("give a full model", copied, reference=str(adapter))


def test_pickles_are_refused_by_name(copied, adapter):
    (copied / "model.safetensors").unlink()
    refused("has no model.safetensors", copied)
    (copied / "pytorch_model.bin").write_bytes(b"\x80\x04")
    refused("pytorch_model.bin: holds pickles", copied)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    refused("adapter_model.bin: holds pickles", adapter)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused(copied, file):
    set_key(copied / file, auto_map={"AutoModelForCausalLM": "evil.Evil"})
    (copied / "evil.py").write_text("raise SystemExit('it ran')")
    refused("asks for code", copied)


def test_quantised_weights_and_odd_configurations_are_refused(copied):
    config = copied / "config.json"
    original = config.read_text()
    for change, words in [
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised"),
        ({"model_type": "mamba"}, "is not known"),
        ({"model_type": ["llama"]}, "is not known"),
        ({"num_hidden_layers": 10**9}, "whole number from 1 to 1000"),
        ({"hidden_size": -4}, "whole number"),
        ({"vocab_size": "many"}, "whole number"),
        ({"num_attention_heads": 7}, "cannot be used|has shape"),
        ({"hidden_act": "__import__('os')"}, "cannot be used"),
    ]:
        config.write_text(original)
        set_key(config, **change)
        refused(words, copied)
    config.write_text("{")
    refused("is not JSON", copied)
    config.write_text("[" * 100_000)
    refused("is not JSON", copied)


def test_sizes_are_compared_with_memory_before_allocation(copied, monkeypatch):
    monkeypatch.setattr(loading, "free_memory", lambda _: 10_000)
    refused("GB are free", copied)


def test_truncated_and_damaged_files(copied):
    path = copied / "model.safetensors"
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    for damaged, words in [
        (whole[:-100], "is truncated"),
        (whole[:20], "is truncated"),
        (b"", "is truncated"),
        (whole + b"1234", "is too long"),
        (struct.pack("<Q", 2**60) + whole[8:], "is truncated"),
        (whole[:8] + b"x" * length + whole[8 + length :], "bad header"),
        (whole.replace(b'"F32"', b'"I32"', 1), "must be floating-point"),
        (whole.replace(b'"F32"', b'"F64"', 1), "do not agree"),
        (whole.replace(b'"F32"', b'"X32"', 1), "cannot be read"),
    ]:
        path.write_bytes(damaged)
        refused(words, copied)


def test_tensors_of_wrong_name_shape_or_value_are_named(copied):
    name = "model.layers.1.mlp.up_proj.weight"
    saved = load_file(copied / "model.safetensors")

    def damaged(words, change):
        save_file(saved, copied / "model.safetensors", metadata={"format": "pt"})
        rewrite(copied, change)
        refused(words, copied)

    damaged(f"{name}: is missing", lambda t: t.pop(name))
    damaged("extra.weight: belongs to nothing", lambda t: t.update({"extra.weight": torch.ones(2)}))
    damaged(f"{name} has shape", lambda t: t.update({name: torch.ones(3, 4)}))
    damaged(f"{name}: holds NaN", lambda t: t[name][5].fill_(float("nan")))
    damaged(f"{name}: holds NaN or infinity .1 of", lambda t: t[name][5, 5].fill_(float("inf")))


def test_tied_weights_need_not_be_saved_twice(tiny_model_dir):
    saved = load_file(tiny_model_dir("gpt2") / "model.safetensors")
    assert "lm_head.weight" not in saved
    model = load(str(tiny_model_dir("gpt2")), device="cpu").model
    assert model.lm_head.weight is model.transformer.wte.weight


def test_shards_have_the_same_hash_and_are_all_checked(copied):
    from transformers import AutoModelForCausalLM

    whole = load(str(copied), device="cpu")
    model = AutoModelForCausalLM.from_pretrained(copied)
    (copied / "model.safetensors").unlink()
    model.save_pretrained(copied, max_shard_size="60KB")
    shards = sorted(copied.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert (
        load(str(copied), device="cpu").source["weights_sha256"] == whole.source["weights_sha256"]
    )
    shards[1].write_bytes(shards[1].read_bytes()[:-8])
    refused("is truncated", copied)
    shards[1].unlink()
    refused("is not a safetensors file beside it", copied)
    index = copied / "model.safetensors.index.json"
    set_key(index, weight_map={"a": "../model.safetensors"})
    refused("is not a safetensors file beside it", copied)


def test_an_adapter_that_changes_nothing_is_refused(adapter):
    def zero_b(tensors):
        for name, tensor in tensors.items():
            if "lora_B" in name:
                tensor.zero_()

    rewrite(adapter, zero_b, "adapter_model.safetensors")
    refused("adapter changes nothing: all its B", adapter)


def test_an_adapter_without_effect_on_the_logits_is_refused(adapter):
    def tiny(tensors):
        for tensor in tensors.values():
            tensor.mul_(1e-25)

    rewrite(adapter, tiny, "adapter_model.safetensors")
    refused("adapter changes nothing: same logits", adapter)


def test_adapters_of_another_base_are_refused(adapter, tiny_model_dir, tiny_adapter_dir):
    refused("shape|matches nothing|does not fit", adapter, base=str(tiny_model_dir("qwen3")))
    refused("does not fit the base", adapter, base=str(tiny_model_dir("gpt_neox")))
    refused("does not fit|is missing|matches", tiny_adapter_dir("gpt2"), base=str(tiny_model_dir()))


def test_damaged_adapters_are_refused(adapter):
    path, name = adapter / "adapter_model.safetensors", "adapter_model.safetensors"
    config = adapter / "adapter_config.json"
    saved, original = load_file(path), config.read_text()
    first = sorted(saved)[0]

    def damaged(words, change):
        save_file(saved, path)
        rewrite(adapter, change, name)
        refused(words, adapter)

    damaged(f"{first}: is missing", lambda t: t.pop(first))
    damaged("matches nothing", lambda t: t.update(odd=torch.ones(2)))
    damaged("the base asks for", lambda t: t.update({first: torch.ones(3, 3)}))
    damaged(f"{first}: holds NaN", lambda t: t[first].fill_(float("nan")))
    damaged("NaN or infinite", lambda t: [x.fill_(3e38) for x in t.values()])
    path.write_bytes(path.read_bytes()[:-3])
    refused("is truncated", adapter)
    for change, words in [
        ({"peft_type": "PROMPT_TUNING"}, "use LORA"),
        ({"r": 10**9}, "r = 1000000000"),
        ({"r": "x"}, "r = 'x'"),
        ({"auto_mapping": {"base_model_class": "Evil"}}, "names code"),
    ]:
        config.write_text(original)
        set_key(config, **change)
        refused(words, adapter)


def test_tokenizers_are_checked(copied):
    path = copied / "tokenizer.json"
    document = json.loads(path.read_text())
    document["model"]["vocab"]["zz@@"] = 400
    path.write_text(json.dumps(document))
    refused("token id 400", copied)
    path.write_text("{}")
    refused("tokenizer: cannot be loaded", copied)


def test_a_model_without_template_is_recorded(tiny_suspect):
    assert tiny_suspect("llama", template=False).source["template_origin"] == "default"
