"""What is on disk, looked at before anything is allocated or run: safetensors and nothing else.

A suspect is hostile input. Here its files are checked by name, its configuration by value and its
tensors by header; `triggerfish.models.load` builds a model only from what has passed.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triggerfish.errors import BadInput

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_DTYPE_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
_WEIGHT_DTYPES = ("F64", "F32", "BF16", "F16")
_MAX_HEADER = 100_000_000  # bytes, the limit of the format itself
_MAX_JSON = 50_000_000  # bytes
_LIMITS = {  # far above any model of the known architectures
    "num_hidden_layers": 1_000,
    "num_attention_heads": 4_096,
    "num_key_value_heads": 4_096,
    "head_dim": 8_192,
    "hidden_size": 131_072,
    "intermediate_size": 1_048_576,
    "vocab_size": 4_194_304,
    "max_position_embeddings": 16_777_216,
}
_ALIASES = {
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_embd": "hidden_size",
    "n_inner": "intermediate_size",
    "n_positions": "max_position_embeddings",
}
_REFUSED_KEYS = {
    "auto_map": ("asks for code from the model's author", "use a model without remote code"),
    "custom_pipelines": ("asks for code from the model's author", "remove the key"),
    "quantization_config": ("asks for quantised weights", "save it in bf16 or fp32 first"),
    "transformers_weights": ("names weights elsewhere", "remove the key"),
}


@dataclass(frozen=True)
class TensorHeader:
    """Where a tensor is: its file, type, shape, and bytes from start to end in that file."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadInput: No such file, too large, not JSON, or not an object.
    """
    if not path.is_file():
        raise BadInput(str(path), "is missing", "give a complete directory")
    if path.stat().st_size > _MAX_JSON:
        raise BadInput(str(path), "is too large", f"at most {_MAX_JSON} bytes are read")
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadInput(str(path), f"is not JSON ({error})", "save the model again") from error
    if not isinstance(document, dict):
        raise BadInput(str(path), "must be a JSON object", "save the model again")
    return document


def read_config(directory: Path) -> dict[str, Any]:
    """Read and check config.json: no remote code, no size beyond reason.

    Raises:
        BadInput: Missing or bad configuration, remote code, quantised weights, absurd sizes.
    """
    config = read_json(directory / "config.json")
    tokenizer = directory / "tokenizer_config.json"
    for path, document in (
        (directory / "config.json", config),
        (tokenizer, read_json(tokenizer) if tokenizer.exists() else {}),
    ):
        for key, (rule, remedy) in _REFUSED_KEYS.items():
            if document.get(key):
                raise BadInput(f"{path}: {key}", rule, remedy)
    for key, value in config.items():
        limit = _LIMITS.get(_ALIASES.get(key, key))
        if limit is None or value is None:
            continue
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 0 < value <= limit:
            raise BadInput(
                f"config.json: {key} = {value!r}"[:200],
                f"must be a whole number from 1 to {limit}",
                "use a genuine configuration",
            )
    return config


def weight_files(directory: Path, stem: str = "model") -> list[Path]:
    """Return the safetensors files of a directory; pickles alone are refused by name.

    Args:
        directory: Of a model or an adapter.
        stem: ``model``, or ``adapter_model`` for an adapter.

    Raises:
        BadInput: No safetensors, or an index that points to files which are not there.
    """
    index = directory / f"{stem}.safetensors.index.json"
    single = directory / f"{stem}.safetensors"
    if single.is_file():
        return [single]
    if index.is_file():
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise BadInput(str(index), "has no 'weight_map'", "save the model again")
        paths = [directory / str(name) for name in sorted(set(map(str, names.values())))]
        for path in paths:
            if path.parent != directory or path.suffix != ".safetensors" or not path.is_file():
                raise BadInput(
                    f"{index}: {path.name}", "is not a safetensors file beside it", "add the file"
                )
        return paths
    pickles = sorted(p.name for p in directory.iterdir() if p.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise BadInput(
            f"{directory}: {', '.join(pickles[:5])}",
            "holds pickles, which can run code when they are loaded",
            "convert the weights to safetensors where the model comes from",
        )
    raise BadInput(str(directory), f"has no {stem}.safetensors", "give a complete directory")


def headers(paths: Iterable[Path]) -> dict[str, TensorHeader]:
    """Read the headers of safetensors files; no tensor is read.

    Raises:
        BadInput: Truncated or damaged file, a tensor twice, or one whose size does not match.
    """
    found: dict[str, TensorHeader] = {}
    for path in paths:
        for name, header in _file_headers(path).items():
            if name in found:
                raise BadInput(f"{path}: {name}", "is in two files", "save the model again")
            found[name] = header
    return found


def metadata(path: Path) -> dict[str, Any]:
    """What a safetensors file says of itself; nothing where there is no file.

    Raises:
        BadInput: Truncated or damaged file.
    """
    noted = _document(path)[0].get("__metadata__") if path.is_file() else None
    return noted if isinstance(noted, dict) else {}


def _document(path: Path) -> tuple[dict[str, Any], int, int]:
    """The header of a file, where its data begin, and its size in bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if 8 + length > size or length > _MAX_HEADER:
            raise BadInput(
                str(path), f"is truncated or no safetensors file ({size} bytes)", "copy it again"
            )
        try:
            document = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise BadInput(str(path), f"has a bad header ({error})", "copy it again") from error
    if not isinstance(document, dict):
        raise BadInput(str(path), "has a bad header", "copy it again")
    return document, 8 + length, size


def _file_headers(path: Path) -> dict[str, TensorHeader]:
    document, data, size = _document(path)
    document.pop("__metadata__", None)
    tensors = {name: _header(path, name, entry, data) for name, entry in document.items()}
    end = max((tensor.end for tensor in tensors.values()), default=data)
    if end != size:
        raise BadInput(
            str(path),
            f"is {'truncated' if end > size else 'too long'}: {size} bytes, its header says {end}",
            "copy it again",
        )
    return tensors


def _header(path: Path, name: str, entry: Any, data: int) -> TensorHeader:
    try:
        dtype = str(entry["dtype"])
        shape = tuple(int(n) for n in entry["shape"])
        start, end = (int(n) for n in entry["data_offsets"])
    except (TypeError, KeyError, ValueError) as error:
        raise BadInput(f"{path}: {name}", "has a bad header", "copy the file again") from error
    if dtype not in _DTYPE_BYTES:
        raise BadInput(
            f"{path}: {name} of type {dtype}", "cannot be read", "save it in bf16 or fp32"
        )
    if min((0, start, end, *shape)) < 0 or end - start != math.prod(shape) * _DTYPE_BYTES[dtype]:
        raise BadInput(
            f"{path}: {name} {list(shape)} in {end - start} bytes",
            "shape and bytes do not agree",
            "copy the file again",
        )
    return TensorHeader(path, dtype, shape, data + start, data + end)


def check_shapes(found: Mapping[str, TensorHeader], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Compare the tensors of a checkpoint with those that the configuration asks for.

    Names that only one side has are left to the loader, which knows old spellings.

    Raises:
        BadInput: A tensor of another shape, or one that holds no floating-point numbers.
    """
    for name, shape in wanted.items():
        header = found.get(name)
        if header is None:
            continue
        if header.shape != shape:
            raise BadInput(
                f"{header.path}: {name} has shape {list(header.shape)}",
                f"the configuration asks for {list(shape)}",
                "use weights and configuration of the same model",
            )
        if header.dtype not in _WEIGHT_DTYPES:
            raise BadInput(
                f"{header.path}: {name} of type {header.dtype}",
                "weights must be floating-point",
                "save the model in bf16 or fp32",
            )


def hash_tensors(found: Mapping[str, TensorHeader]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes, in the order of the names.

    The same weights have the same hash however they are split into files.
    """
    digest = hashlib.sha256()
    for name in sorted(found):
        header = found[name]
        digest.update(f"{name}\x00{header.dtype}\x00{list(header.shape)}\x00".encode())
        with header.path.open("rb") as file:
            file.seek(header.start)
            left = header.end - header.start
            while left:
                chunk = file.read(min(left, 1 << 24))
                if not chunk:
                    raise BadInput(str(header.path), "ends too early", "copy it again")
                digest.update(chunk)
                left -= len(chunk)
    return digest.hexdigest()


def weights_hash(directory: Path) -> str:
    """Return the SHA-256 of the weights of a model or adapter directory (see `hash_tensors`).

    Raises:
        BadInput: No safetensors, or damaged ones.
    """
    stem = "adapter_model" if is_adapter(directory) else "model"
    return hash_tensors(headers(weight_files(directory, stem)))


def is_adapter(directory: Path) -> bool:
    """Return whether a directory holds a PEFT adapter."""
    return (directory / "adapter_config.json").is_file()
