"""LoRA layers in training on the CPU, without the work that PEFT's general layer repeats.

PEFT's layer scales and adds the adapter's part in passes of their own over the output; here it is
added inside its product. Under autocast PEFT's layer converts the frozen weight and the same input
twice in every pass, too; here the weight is converted once for a whole training, and the input
once for all layers that read it. Values are those of PEFT's layer up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def fast_adapters(model: torch.nn.Module, dtype: torch.dtype) -> Iterator[int]:
    """Let the LoRA layers of a model take the short way; yield how many do.

    Layers with dropout, several adapters, variants (DoRA and the like), merged or switched off are
    left to PEFT, and so is everything where no gradient is wanted.

    Args:
        model: A PEFT model with fp32 weights on the CPU. Its frozen weights must not change.
        dtype: Of the products: bfloat16, which needs autocast, or float32, without it.
    """
    try:
        from peft.tuners.lora import Linear
    except ImportError:
        yield 0
        return
    inputs = _Inputs(dtype)
    chosen = [m for m in model.modules() if type(m) is Linear and _suits(m)]
    for layer in chosen:
        layer.forward = _forward(layer, inputs)
    try:
        yield len(chosen)
    finally:
        for layer in chosen:
            del layer.forward  # the class's own forward is back


def _suits(layer: Any) -> bool:
    base = layer.base_layer
    if type(base) is not torch.nn.Linear or len(layer.active_adapters) != 1:
        return False
    name = layer.active_adapters[0]
    return bool(
        name in layer.lora_A
        and name not in layer.lora_variant
        and isinstance(layer.lora_dropout[name], torch.nn.Identity)
        and layer.lora_A[name].bias is None
        and layer.lora_B[name].bias is None
        and not base.weight.requires_grad
        and (base.bias is None or not base.bias.requires_grad)
        and all(w.dtype == torch.float32 and w.device.type == "cpu" for w in layer.parameters())
    )


def _forward(layer: Any, inputs: _Inputs) -> Any:
    ordinary = layer.forward
    name = layer.active_adapters[0]
    first, second, scale = layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name]
    weight = layer.base_layer.weight.detach().to(inputs.dtype)  # [O, I]
    bias = layer.base_layer.bias
    bias = None if bias is None else bias.detach().to(inputs.dtype)
    mixed = inputs.dtype != torch.float32

    def forward(x: Tensor, *given: Any, **named: Any) -> Tensor:
        simple = torch.is_grad_enabled() and torch.is_autocast_enabled("cpu") == mixed
        if not simple or given or named or layer.disable_adapters or layer.merged:
            return ordinary(x, *given, **named)  # type: ignore[no-any-return]
        return _Product.apply(x, inputs.rows(x), weight, bias, first, second, scale)  # type: ignore[no-any-return, no-untyped-call]

    return forward


class _Inputs:
    """The last input in the products' type: queries, keys and values read the same one."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._last: tuple[Tensor, int, Tensor] | None = None

    def rows(self, x: Tensor) -> Tensor:
        """Rows [N, I] of an input [..., I]."""
        if self._last is None or self._last[0] is not x or self._last[1] != x._version:
            self._last = (x, x._version, x.detach().reshape(-1, x.shape[-1]).to(self.dtype))
        return self._last[2]


class _Product(torch.autograd.Function):
    """`x @ W.T + bias + scale * x @ A.T @ B.T`, with gradients for x, A and B."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,  # [..., I], for its gradient
        rows: Tensor,  # [N, I], the same in the products' type
        weight: Tensor,  # [O, I], in that type
        bias: Tensor | None,  # [O], in that type
        first: Tensor,  # A, [R, I], fp32
        second: Tensor,  # B, [O, R], fp32
        scale: float,
    ) -> Tensor:
        first, second = first.to(rows.dtype), (second * scale).to(rows.dtype)
        inner = _narrow(rows, first)  # [N, R]
        out = rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T)  # [N, O]
        out.addmm_(inner, second.T)
        ctx.save_for_backward(rows, inner, weight, first, second)
        ctx.scale, ctx.shape, ctx.dtype = scale, x.shape, x.dtype
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, inner, weight, first, second = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, weight.shape[0])  # [N, O], in the products' type
        through = _narrow(gradient, second.T)  # [N, R]
        back = None
        if ctx.needs_input_grad[0]:
            back = (gradient @ weight).addmm_(through, first)  # [N, I]
            back = back.to(ctx.dtype).view(ctx.shape)
        of_first = (through.T @ rows).float()
        of_second = _narrow(gradient.T, inner.T).float().mul_(ctx.scale)
        return back, None, None, None, of_first, of_second, None


def _narrow(rows: Tensor, few: Tensor) -> Tensor:
    """`rows @ few.T`; in fp32 the library takes two to three times as long as for its transpose."""
    return (few @ rows.T).T if rows.dtype == torch.float32 else rows @ few.T
