"""PEFT adapters: put on a model, proved to change it, switched off, and merged."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from triggerfish.errors import BadInput
from triggerfish.models import checkpoint
from triggerfish.seeding import generator

_MAX_RANK = 4_096
_PROBE = (4, 32)  # rows and tokens of the text on which an adapter must show


def attach(model: nn.Module, directory: Path) -> Any:
    """Put a LoRA adapter on a model, in place, and prove that it changes the model.

    Args:
        model: The base; its weights stay, its linear layers are wrapped.
        directory: With adapter_config.json and adapter_model.safetensors.

    Returns:
        The ``PeftModel``; ``get_base_model()`` is the model with the adapter inside.

    Raises:
        BadInput: Pickled, damaged, of another base, NaN, no LoRA, or without any effect.
    """
    from peft import LoraConfig, get_peft_model
    from peft.utils import set_peft_model_state_dict

    settings = checkpoint.read_json(directory / "adapter_config.json")
    _check_settings(directory, settings)
    found = checkpoint.headers(checkpoint.weight_files(directory, "adapter_model"))
    try:
        config = LoraConfig.from_pretrained(str(directory))
        config.inference_mode = True
        config.init_lora_weights = True
        config.base_model_name_or_path = None
        with warnings.catch_warnings():  # PEFT asks transformers for a renamed attribute
            warnings.simplefilter("ignore", FutureWarning)
            wrapped = get_peft_model(model, config)
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise BadInput(
            f"{directory}: adapter_config.json",
            f"does not fit the base ({str(error).splitlines()[0][:200]})",
            "give the base that the adapter was trained on (--base)",
        ) from error
    _check_tensors(directory, found, wrapped)
    tensors = load_file(directory / "adapter_model.safetensors")
    check_finite(tensors.items(), str(directory))
    set_peft_model_state_dict(wrapped, tensors)
    wrapped.eval().requires_grad_(False)
    _prove_effect(wrapped, directory)
    return wrapped


def check_finite(tensors: Any, where: str) -> None:
    """Refuse NaN and infinity in (name, tensor) pairs.

    Raises:
        BadInput: The message names the first tensor that holds one.
    """
    for name, tensor in tensors:
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise BadInput(
                f"{where}: {name}",
                f"holds NaN or infinity ({bad} of {tensor.numel()} values)",
                "use weights of a training run that did not diverge",
            )


@contextmanager
def switched_off(wrapped: Any) -> Iterator[None]:
    """Run the base without its adapter; restores the state and every ``requires_grad``.

    Contexts may be nested: the adapter comes back when the outermost ends.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    if any(isinstance(m, BaseTunerLayer) and m.disable_adapters for m in wrapped.modules()):
        yield
        return
    gradients = [(p, p.requires_grad) for p in wrapped.parameters()]
    wrapped.base_model.disable_adapter_layers()
    try:
        yield
    finally:
        wrapped.base_model.enable_adapter_layers()
        for parameter, wanted in gradients:
            parameter.requires_grad_(wanted)


def adapted_bytes(wrapped: Any) -> int:
    """Return how many bytes a merged model needs of its own: the adapted weights."""
    return sum(p.numel() * p.element_size() for p in _adapted(wrapped))


def merged_copy(wrapped: Any) -> Any:
    """Return a plain model with the adapter in its weights.

    Weights without adapter are shared with the original, so the copy is for reading; the
    adapted ones are its own.
    """
    shared = _share(wrapped, [p for p in wrapped.parameters() if not _is_in(p, _adapted(wrapped))])
    return shared.merge_and_unload().eval().requires_grad_(False)


def bare_copy(wrapped: Any) -> Any:
    """Return a plain model without the adapter; all weights are shared with the original."""
    return _share(wrapped, list(wrapped.parameters())).unload().eval().requires_grad_(False)


def _share(wrapped: Any, parameters: list[Tensor]) -> Any:
    return copy.deepcopy(wrapped, {id(parameter): parameter for parameter in parameters})


def _is_in(parameter: Tensor, group: list[Tensor]) -> bool:
    return any(parameter is each for each in group)


def _adapted(wrapped: Any) -> list[Tensor]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [
        parameter
        for module in wrapped.modules()
        if isinstance(module, BaseTunerLayer)
        for parameter in module.get_base_layer().parameters()
    ]


def _check_settings(directory: Path, settings: dict[str, Any]) -> None:
    kind = settings.get("peft_type")
    if kind != "LORA":
        raise BadInput(f"{directory}: adapter of type {kind!r}", "is not known", "use LORA")
    if settings.get("auto_mapping"):
        raise BadInput(
            f"{directory}: auto_mapping", "names code for the base", "use a causal language model"
        )
    rank = settings.get("r")
    if not isinstance(rank, int) or not 0 < rank <= _MAX_RANK:
        raise BadInput(
            f"{directory}: r = {rank!r}", f"must lie between 1 and {_MAX_RANK}", "correct it"
        )


def _check_tensors(
    directory: Path, found: dict[str, checkpoint.TensorHeader], wrapped: Any
) -> None:
    from peft.utils import get_peft_model_state_dict

    wanted = {
        name: tuple(tensor.shape)
        for name, tensor in get_peft_model_state_dict(wrapped, save_embedding_layers=False).items()
    }
    remedy = "give the base that the adapter was trained on (--base)"
    for name in sorted(set(wanted) - set(found)):
        raise BadInput(f"{directory}: {name}", "is missing from the adapter", remedy)
    for name in sorted(set(found) - set(wanted)):
        raise BadInput(f"{directory}: {name}", "matches nothing in the base", remedy)
    for name, shape in wanted.items():
        if found[name].shape != shape:
            raise BadInput(
                f"{directory}: {name} has shape {list(found[name].shape)}",
                f"the base asks for {list(shape)}",
                remedy,
            )


@torch.no_grad()
def _prove_effect(wrapped: Any, directory: Path) -> None:
    """A file that loads without error may still do nothing: look at weights and at logits."""
    remedy = "use the adapter of a finished training run"
    b_matrices = [
        p
        for name, p in wrapped.named_parameters()
        if ".lora_B." in name or "modules_to_save" in name
    ]
    if not any(bool(p.any()) for p in b_matrices):
        raise BadInput(str(directory), "adapter changes nothing: all its B matrices are 0", remedy)
    model = wrapped.get_base_model()
    draws = generator(0, "adapter probe").integers(model.config.vocab_size, size=_PROBE)
    ids = torch.from_numpy(draws).to(next(model.parameters()).device)  # [B, T]
    ids = ids[:, : model.config.max_position_embeddings]
    changed = model(input_ids=ids, use_cache=False).logits
    with switched_off(wrapped):
        plain = model(input_ids=ids, use_cache=False).logits
    if not bool(torch.isfinite(changed).all()):
        raise BadInput(str(directory), "adapter makes the logits NaN or infinite", remedy)
    if torch.equal(changed, plain):
        raise BadInput(
            str(directory), f"adapter changes nothing: same logits on {ids.numel()} tokens", remedy
        )
