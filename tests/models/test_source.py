import json

import pytest

from triggerfish.errors import BadInput
from triggerfish.models import checkpoint, source


@pytest.fixture
def downloads(monkeypatch, tmp_path):
    """What the hub's client was asked for; nothing is downloaded."""
    import huggingface_hub

    asked = []

    def snapshot(name, *, revision, allow_patterns):
        asked.append((name, revision))
        assert "*.safetensors" in allow_patterns
        assert not any(".bin" in p or p.endswith(".py") for p in allow_patterns)
        if name == "someone/missing":
            raise OSError("404\nnot found")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return asked


def test_a_hub_id_needs_a_revision(downloads, tmp_path):
    assert source.resolve("someone/model@0a1b2c") == tmp_path
    assert source.resolve("gpt2@main") == tmp_path
    assert downloads == [("someone/model", "0a1b2c"), ("gpt2", "main")]
    for name in ("someone/model", "gpt2", "../model@main", "/model@main", "a/b/c@main", "@main"):
        with pytest.raises(BadInput, match="NAME@REVISION"):
            source.resolve(name)
    with pytest.raises(BadInput, match=r"cannot be fetched .OSError: 404\)"):
        source.resolve("someone/missing@main")
    assert len(downloads) == 3


def test_nothing_is_downloaded_unless_the_argument_says_so(downloads, tmp_path):
    with pytest.raises(BadInput, match="is no directory"):
        source.resolve("someone/model@main", network=False)
    named = {"base_model_name_or_path": "someone/model@main"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(named))
    with pytest.raises(BadInput, match="on this machine"):
        source.adapter_base(tmp_path)
    assert downloads == []


def test_a_directory_comes_before_a_hub_id(downloads, tmp_path, monkeypatch):
    (tmp_path / "model@main").mkdir()
    monkeypatch.chdir(tmp_path)
    assert source.resolve("model@main") == tmp_path / "model@main"
    assert downloads == []


def test_the_hash_does_not_depend_on_the_order_of_tensors(tiny_model_dir):
    found = checkpoint.headers(checkpoint.weight_files(tiny_model_dir("llama")))
    digest = checkpoint.hash_tensors(found)
    assert checkpoint.hash_tensors(dict(reversed(found.items()))) == digest
    name = next(iter(found))
    renamed = {("x" if key == name else key): value for key, value in found.items()}
    assert checkpoint.hash_tensors(renamed) != digest
