"""What is written of a defended adapter loads again, without complaints, on its own base alone."""

import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from triggerfish.errors import BadInput
from triggerfish.models.load import load
from triggerfish.pipeline.removal_write import write_model
from triggerfish.remove.delta import applied, editing


def test_an_adapter_is_written_as_an_adapter(tiny_adapter_dir, tiny_model_dir, tmp_path):
    suspect = load(str(tiny_adapter_dir()), device="cpu")
    with editing(suspect.model, "adapter") as loan, torch.no_grad():
        for value in loan.snapshot():
            suspect.model.get_parameter(value).add_(0.01)
        delta = loan.delta()
    names = write_model(suspect, delta, tmp_path / "defended")
    assert "adapter_model.safetensors" in names
    assert names[-1] == "adapter_config.json"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PEFT complains of keys that it does not know
        again = load(str(tmp_path / "defended"), device="cpu")
    assert again.source["base_sha256"] == suspect.source["base_sha256"]
    ids = torch.tensor([[1, 2, 3]])
    with torch.inference_mode(), applied(suspect.model, delta):
        wanted = suspect.model(input_ids=ids).logits
    with torch.inference_mode():
        assert torch.allclose(again.model(input_ids=ids).logits, wanted, atol=1e-6)
    config = json.loads((tmp_path / "defended/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model_dir("llama"))


def test_another_base_is_refused(tiny_adapter_dir, tmp_path):
    suspect = load(str(tiny_adapter_dir()), device="cpu")
    with editing(suspect.model, "adapter") as loan, torch.no_grad():
        suspect.model.get_parameter(next(iter(loan.snapshot()))).add_(0.01)
        delta = loan.delta()
    write_model(suspect, delta, tmp_path / "defended")
    weights = tmp_path / "defended/adapter_model.safetensors"
    save_file(load_file(weights), weights, metadata={"format": "pt", "base_hash": "0" * 64})
    with pytest.raises(BadInput, match="base_hash 0000000000000000"):
        load(str(tmp_path / "defended"), device="cpu")


def test_a_whole_model_is_written_without_a_bar_of_the_library(tiny_model_dir, tmp_path, capfd):
    suspect = load(str(tiny_model_dir("llama")), reference="none", device="cpu")
    with editing(suspect.model, "model") as loan, torch.no_grad():
        suspect.model.get_parameter(next(iter(loan.snapshot()))).add_(0.01)
        delta = loan.delta()
    assert "model.safetensors" in write_model(suspect, delta, tmp_path / "defended")
    assert capfd.readouterr().err == ""
    assert logging.is_progress_bar_enabled()
