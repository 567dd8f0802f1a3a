"""Training on the CPU: in mixed precision where the processor can, and LoRA by the short way.

Processors with bf16 products multiply matrices six times as fast in bf16 as in fp32 (EPYC with
AVX-512 BF16: 383 against 60 GFLOP/s on one core). Weights, optimiser states, norms, softmax and
loss stay in fp32; attention does too, since the backward pass of torch's bf16 attention on the
CPU costs more than the products save.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from triggerfish.models.fast_adapters import fast_adapters


@contextmanager
def fast_training(model: torch.nn.Module | None = None) -> Iterator[str]:
    """Train fast on the CPU, with products in bf16 where the processor can; yield their name.

    Args:
        model: What is trained, for the fast way through its LoRA layers; weights that are frozen
            must stay as they are.
    """
    mixed = mixed_precision()
    with ExitStack() as stack:
        if mixed:  # without the cache, which would go on using the weights of the first step
            stack.enter_context(torch.autocast("cpu", torch.bfloat16, cache_enabled=False))
            stack.enter_context(_precise_attention())
        if model is not None:
            dtype = torch.bfloat16 if mixed else torch.float32
            stack.enter_context(fast_adapters(model, dtype))
        yield "bfloat16 products, float32 weights" if mixed else "float32"


class FastInference:
    """Products of forwards without gradients in bf16, where the processor can.

    The weights are converted once, and must not change: autocast would do so in every call.

    Args:
        model: Any module on the CPU with fp32 weights.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        """Convert the weights of its linear layers."""
        linear = [each for each in model.modules() if type(each) is torch.nn.Linear]
        self._layers = [(each, _low(each)) for each in linear if mixed_precision()]
        self._lock, self._entered, self._attached = threading.Lock(), 0, ExitStack()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within, the model multiplies in bf16; may be entered again, and in several threads."""
        if not mixed_precision():
            yield
            return
        with self._lock:
            if self._entered == 0:
                self._attach()
            self._entered += 1
        try:
            with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
                yield
        finally:
            with self._lock:
                self._entered -= 1
                if self._entered == 0:
                    self._attached.close()

    def _attach(self) -> None:
        self._attached.enter_context(_precise_attention())
        for layer, forward in self._layers:
            layer.__dict__["forward"] = forward  # before the class's own
            self._attached.callback(layer.__dict__.pop, "forward")


def _low(layer: torch.nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    weight = layer.weight.detach().to(torch.bfloat16)
    bias = None if layer.bias is None else layer.bias.detach().to(torch.bfloat16)
    return lambda x: torch.nn.functional.linear(x.to(torch.bfloat16), weight, bias)


@contextmanager
def precise() -> Iterator[None]:
    """Measure in fp32 in the midst of a training."""
    with torch.autocast("cpu", enabled=False):
        yield


@functools.cache
def mixed_precision() -> bool:
    """Whether this machine trains faster in bf16: a CPU with bf16 products and no accelerator."""
    if torch.cuda.is_available():
        return False
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in names)


@contextmanager
def _precise_attention() -> Iterator[None]:
    """Attention in fp32 within autocast.

    The function itself is replaced: a mode that looks at every call takes a tenth of a step.
    """
    functional = torch.nn.functional
    ordinary = functional.scaled_dot_product_attention

    def attention(*given: Any, **named: Any) -> Any:
        if not torch.is_autocast_enabled("cpu"):
            return ordinary(*given, **named)
        bias = named.get("attn_mask")
        if bias is not None and bias.is_floating_point():
            named["attn_mask"] = bias.float()
        with torch.autocast("cpu", enabled=False):
            return ordinary(*(a.float() for a in given), **named).to(given[0].dtype)

    functional.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = ordinary
