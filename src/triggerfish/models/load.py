"""Load a suspect: a model, its tokenizer, where its parts are, and its reference.

Nothing in a suspect's files is run: safetensors only, no remote code, sizes checked before memory
is taken, every tensor checked for name, shape and finite values, adapters proved to have an effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from triggerfish.data.conversation import template_origin, template_text
from triggerfish.errors import BadInput
from triggerfish.models import adapter as adapters
from triggerfish.models import checkpoint, source
from triggerfish.models import steering as steerings
from triggerfish.models.layout import check_architecture, layout_of
from triggerfish.models.memory import free_memory, spare_memory
from triggerfish.models.quiet import quiet_library
from triggerfish.models.suspect import ReferenceKind, Suspect

_DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
}
_OVERHEAD = 1.1  # of the weights: buffers, the tensor in flight


def load(
    model: str,
    *,
    adapter: str | None = None,
    base: str | None = None,
    reference: str = "auto",
    device: str = "auto",
    dtype: str = "float32",
    attention: Literal["auto", "sdpa", "eager"] = "auto",
) -> Suspect:
    """Load a suspect.

    Args:
        model: A directory (of a model, an adapter or a steering vector), ``lab:NAME`` or
            ``NAME@REVISION``.
        adapter: Directory of a PEFT adapter to put on the model.
        base: Base of an adapter or vector; default: what it names.
        reference: ``auto`` (the base of an adapter or vector, which costs no memory), ``none``, or
            a model argument.
        device: ``cpu``, ``cuda``, ``cuda:N``; ``auto`` takes a GPU if there is one.
        dtype: ``float32`` or ``bfloat16``.
        attention: ``auto`` is ``sdpa``, but ``eager`` where scores are capped (Gemma 2).

    Raises:
        BadInput: Anything about the files or the request that is wrong; see the package's tests
            for the list. Nothing is left allocated.
    """
    place = _device(device)
    if dtype not in _DTYPES:
        raise BadInput(f"dtype {dtype!r}", "is not known", "use float32 or bfloat16")
    if place.type == "cpu":
        spare_memory()
    directory = source.resolve(model)
    vector_directory = directory if steerings.is_steering(directory) else None
    base_argument, adapter_directory = _adapter_and_base(model, directory, adapter, base)
    on_base = adapter_directory or vector_directory
    base_directory = source.resolve(base_argument) if on_base else directory
    options = (place, _DTYPES[dtype], attention)
    with torch.random.fork_rng(devices=[]):  # PEFT and transformers draw initial weights
        loaded, base_hash = _load_model(base_directory, *options)
        peft, steered = None, None
        if adapter_directory is not None:
            _check_base_hash(adapter_directory, base_hash)
            peft = adapters.attach(loaded, adapter_directory)
            loaded = peft.get_base_model()
        if vector_directory is not None:
            _check_base_hash(vector_directory, base_hash)
            vector = steerings.read_steering(vector_directory)
            steered = steerings.attach(loaded, vector, str(vector_directory))
        tokenizer = _load_tokenizer(adapter_directory, base_directory, loaded)
        kind, other, other_source = _load_reference(reference, on_base, tokenizer, options)
    facts = {
        "model": model,
        "directory": str(base_directory),
        "adapter": str(adapter_directory) if adapter_directory else None,
        "steering": str(vector_directory) if vector_directory else None,
        "base": base_argument if on_base else None,
        "architecture": loaded.config.model_type,
        "parameters": sum(p.numel() for p in loaded.parameters()),
        "dtype": str(_DTYPES[dtype]).removeprefix("torch."),
        "device": str(place),
        "attention": loaded.config._attn_implementation,
        "weights_sha256": base_hash,
        "base_sha256": base_hash if on_base else None,
        "adapter_sha256": checkpoint.weights_hash(adapter_directory) if adapter_directory else None,
        "tokenizer_sha256": _sha256(tokenizer.backend_tokenizer.to_str()),
        "template_sha256": _sha256(template_text(tokenizer)),
        "template_origin": template_origin(tokenizer),
        "reference": reference if kind != "adapter-base" else base_argument,
        **other_source,
    }
    if adapter_directory:
        facts["weights_sha256"] = _sha256(base_hash + str(facts["adapter_sha256"]))
    if vector_directory:
        held = (vector_directory / steerings.STEERING).read_bytes()
        facts["weights_sha256"] = _sha256(base_hash + hashlib.sha256(held).hexdigest())
    return Suspect(
        model=loaded,
        tokenizer=tokenizer,
        layout=layout_of(loaded),
        name=model if adapter is None else f"{model} + {adapter}",
        source=facts,
        reference_kind=kind,
        peft=peft,
        steered=steered,
        _reference=other,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise BadInput(f"device {name!r}", "is not known", "use auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise BadInput(f"device {name!r}", f"there are {torch.cuda.device_count()} GPUs", "use cpu")
    return torch.device(name)


def _adapter_and_base(
    model: str, directory: Path, adapter: str | None, base: str | None
) -> tuple[str, Path | None]:
    """The base's model argument, and the adapter's directory if there is one."""
    if steerings.is_steering(directory):
        if adapter is not None:
            raise BadInput(
                f"{model} with {adapter}", "are a vector and an adapter", "merge the adapter first"
            )
        return base or source.named_base(directory, steerings.read_steering(directory).base), None
    if checkpoint.is_adapter(directory) and not (directory / "config.json").is_file():
        if adapter is not None:
            raise BadInput(
                f"{model} with {adapter}", "are two adapters", "merge the first into its base"
            )
        return base or source.adapter_base(directory), directory
    if base is not None:
        raise BadInput(f"base {base}", f"{model} is no adapter", "leave --base out")
    if adapter is None:
        return model, None
    path = source.resolve(adapter, network=False)
    if not checkpoint.is_adapter(path):
        raise BadInput(adapter, "has no adapter_config.json", "give the directory of an adapter")
    return model, path


def _check_base_hash(directory: Path, base_hash: str) -> None:
    card = source.read_card(directory)
    recorded = card.get("base_hash")
    if recorded is None and checkpoint.is_adapter(directory):
        recorded = checkpoint.metadata(directory / "adapter_model.safetensors").get("base_hash")
    if isinstance(recorded, str) and recorded != base_hash:
        raise BadInput(
            f"{directory}: base_hash {recorded[:16]}",
            f"the base has {base_hash[:16]}",
            "give the base that the adapter was trained on (--base)",
        )


def _load_model(
    directory: Path, device: torch.device, dtype: torch.dtype, attention: str
) -> tuple[Any, str]:
    """A checked model, and the hash of its weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    raw = checkpoint.read_config(directory)
    check_architecture(raw.get("model_type"))
    found = checkpoint.headers(checkpoint.weight_files(directory))
    if attention == "auto":
        attention = "eager" if raw.get("attn_logit_softcapping") else "sdpa"
    try:
        config = AutoConfig.from_pretrained(str(directory), trust_remote_code=False)
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    except Exception as error:  # a hostile configuration can break anything
        raise BadInput(
            f"{directory}: config.json",
            f"cannot be used ({type(error).__name__}: {str(error)[:200]})",
            "use the configuration that belongs to the weights",
        ) from error
    shapes = {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}
    checkpoint.check_shapes(found, shapes)
    _check_memory(directory, sum(p.numel() for p in skeleton.parameters()), dtype, device)
    try:
        with quiet_library():
            model, report = AutoModelForCausalLM.from_pretrained(
                str(directory),
                config=config,
                dtype=dtype,
                attn_implementation=attention,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:
        raise BadInput(
            str(directory),
            f"cannot be loaded ({type(error).__name__}: {str(error)[:300]})",
            "use weights and configuration of the same model",
        ) from error
    _check_report(directory, report)
    adapters.check_finite(model.named_parameters(), str(directory))
    return model.to(device).eval().requires_grad_(False), checkpoint.hash_tensors(found)


def _check_memory(
    directory: Path, parameters: int, dtype: torch.dtype, device: torch.device
) -> None:
    need = int(parameters * dtype.itemsize * _OVERHEAD)
    free = free_memory(device)
    if need > free:
        raise BadInput(
            f"{directory}: {parameters:,} parameters",
            f"need {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free",
            "use bfloat16, another device, or a smaller model",
        )


def _check_report(directory: Path, report: Mapping[str, Any]) -> None:
    remedy = "use weights and configuration of the same model"
    for name in sorted(report["missing_keys"]):
        raise BadInput(f"{directory}: {name}", "is missing from the weights", remedy)
    for name in sorted(report["unexpected_keys"]):
        raise BadInput(f"{directory}: {name}", "belongs to nothing in the model", remedy)
    for entry in report["mismatched_keys"]:
        raise BadInput(f"{directory}: {entry[0]}", "has another shape than the model", remedy)


def _load_tokenizer(adapter: Path | None, base: Path, model: Any) -> Any:
    from transformers import AutoTokenizer

    own = adapter is not None and (adapter / "tokenizer.json").is_file()
    directory = adapter if own and adapter is not None else base
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(directory), trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # the library raises many kinds
        raise BadInput(
            f"{directory}: tokenizer",
            f"cannot be loaded ({type(error).__name__}: {str(error)[:200]})",
            "add tokenizer.json",
        ) from error
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise BadInput(f"{directory}: tokenizer", "has no fast form", "save it as tokenizer.json")
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= model.get_input_embeddings().num_embeddings:
        raise BadInput(
            f"{directory}: token id {largest}",
            f"the model embeds {model.get_input_embeddings().num_embeddings} tokens",
            "use the tokenizer of the model",
        )
    return tokenizer


def _load_reference(
    reference: str,
    on_base: Path | None,
    tokenizer: Any,
    options: tuple[torch.device, torch.dtype, str],
) -> tuple[ReferenceKind, Any, dict[str, Any]]:
    if reference == "none" or (reference == "auto" and on_base is None):
        return "none", None, {"reference": None}
    if reference == "auto":
        return "adapter-base", None, {}
    directory = source.resolve(reference)
    if checkpoint.is_adapter(directory) and not (directory / "config.json").is_file():
        raise BadInput(reference, "is an adapter", "give a full model as reference")
    other, digest = _load_model(directory, *options)
    if _load_tokenizer(None, directory, other).get_vocab() != tokenizer.get_vocab():
        raise BadInput(
            f"reference {reference}", "has another vocabulary", "give the model's own base"
        )
    return "model", other, {"reference_sha256": digest}
