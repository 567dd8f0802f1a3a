"""Matrix products on the CPU by the faster of torch's two libraries.

Torch multiplies fp32 matrices with MKL, which leaves half of an AMD processor's vector units idle:
measured there, oneDNN takes 0.4 times as long for the products of a linear layer (EPYC with
AVX-512). Inside `fast_products` linear layers go through oneDNN, with their weights re-ordered
once. Everywhere else (other processors, GPU, other precision, gradients) nothing changes. The
rule depends on the machine alone, so the same machine gives the same bits again; results differ
from MKL's by rounding (about 1e-6).
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SMALL = 1 << 12  # numbers; weights below this are left to MKL
_ROOM = 1 << 27  # numbers in re-ordered copies of weights, 512 MB; the rest is left to MKL


@contextmanager
def fast_products() -> Iterator[None]:
    """Let fp32 linear layers on the CPU use oneDNN where that is faster. May be nested."""
    if not _helps() or _Mode.depth:
        yield
        return
    _Mode.depth += 1
    try:
        with _Mode():
            yield
    finally:
        _Mode.depth -= 1


class _Mode(TorchFunctionMode):
    depth = 0

    def __init__(self) -> None:
        super().__init__()
        self._ordered: dict[int, tuple[Tensor, tuple[int, int], Tensor]] = {}
        self._room = _ROOM

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.nn.functional.linear and not kwargs and _suits(*args):
            weight = self._order(args[1])
            if weight is not None:
                bias = args[2] if len(args) > 2 else None
                return torch.ops.mkldnn._linear_pointwise(args[0], weight, bias, "none", [], "")
        return func(*args, **(kwargs or {}))

    def _order(self, weight: Tensor) -> Tensor | None:
        # The address too: assigning to `.data` does not raise the version.
        version = (0 if weight.is_inference() else weight._version, weight.data_ptr())
        known = self._ordered.get(id(weight))
        if known is None and weight.numel() > self._room:
            return None
        if known is None or known[1] != version:
            self._room -= weight.numel() if known is None else 0
            ordered = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
            known = self._ordered[id(weight)] = (weight, version, ordered)
        return known[2]


def _suits(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    tensors = (x, weight) if bias is None else (x, weight, bias)
    plain = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
    gradients = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    return plain and not gradients and weight.numel() >= _SMALL and x.numel() > 0


@functools.cache
def _helps() -> bool:
    """Whether this machine has an AMD processor with AVX-512 and torch has oneDNN."""
    names = ("_linear_pointwise", "_reorder_linear_weight")
    present = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    if not present or platform.machine() not in ("x86_64", "AMD64"):
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")[:8192]
    except OSError:
        return False
    return "AuthenticAMD" in facts and "avx512f" in facts
