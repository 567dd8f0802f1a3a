"""Where the parts of a model are, for every architecture that Triggerfish knows.

A layout holds names and sizes only, so that one layout serves a model, its reference and copies
of both, PEFT-wrapped or not.

*Shapes*: B batch, T tokens, D width, H heads, V vocabulary, N examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast

import torch
from torch import Tensor, nn

from triggerfish.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class _Names:
    backbone: str = "model"
    layers: str = "layers"
    attention: str = "self_attn"
    attention_output: str = "o_proj"
    mlp: str = "mlp"
    mlp_output: str = "down_proj"
    final_norm: str = "norm"
    embedding: str = "embed_tokens"
    unembedding: str = "lm_head"


_LLAMA_LIKE = _Names()
_KNOWN: Mapping[str, _Names] = {
    "llama": _LLAMA_LIKE,
    "qwen2": _LLAMA_LIKE,
    "qwen3": _LLAMA_LIKE,
    "mistral": _LLAMA_LIKE,
    "gemma2": _LLAMA_LIKE,
    "gemma3_text": _LLAMA_LIKE,
    "phi3": _LLAMA_LIKE,
    "gpt2": _Names(
        backbone="transformer",
        layers="h",
        attention="attn",
        attention_output="c_proj",
        mlp_output="c_proj",
        final_norm="ln_f",
        embedding="wte",
    ),
    "gpt_neox": _Names(
        backbone="gpt_neox",
        attention="attention",
        attention_output="dense",
        mlp_output="dense_4h_to_h",
        final_norm="final_layer_norm",
        embedding="embed_in",
    ),
}
KNOWN_ARCHITECTURES: tuple[str, ...] = tuple(_KNOWN)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes of a model and the way to its parts.

    Every method takes a plain model or a PEFT-wrapped one; layers count from 0.

    Attributes:
        architecture: ``model_type`` of the configuration.
        n_layers: Number of layers.
        n_heads: Number of query heads in a layer, H.
        n_kv_heads: Number of key/value heads; query head h reads key/value head
            ``h // (n_heads // n_kv_heads)``.
        head_dim: Width of one head; H * head_dim need not equal the width.
        width: Width of the residual stream, D.
        vocabulary: Number of logits, V.
        context: Longest sequence that the model was made for, in tokens.
    """

    architecture: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    width: int
    vocabulary: int
    context: int

    def backbone(self, model: nn.Module) -> nn.Module:
        """Return the model without its unembedding; its last hidden state is normed."""
        return self._part(plain(model), self._names.backbone)

    def layer(self, model: nn.Module, layer: int) -> nn.Module:
        """Return a layer; its output is the residual stream.

        Raises:
            BadInput: No such layer.
        """
        if not 0 <= layer < self.n_layers:
            raise BadInput(
                f"layer {layer}",
                f"the model has {self.n_layers} layers",
                f"choose 0 to {self.n_layers - 1}",
            )
        layers = cast(nn.ModuleList, self._part(self.backbone(model), self._names.layers))
        return layers[layer]

    def attention(self, model: nn.Module, layer: int) -> nn.Module:
        """Return the attention of a layer."""
        return self._part(self.layer(model, layer), self._names.attention)

    def attention_output(self, model: nn.Module, layer: int) -> nn.Module:
        """Return the projection whose input is the concatenated heads, [B, T, H * head_dim].

        Gemma 2 and 3 norm its output before they add it to the residual stream; head
        contributions here are those before that norm.
        """
        return self._part(self.attention(model, layer), self._names.attention_output)

    def mlp(self, model: nn.Module, layer: int) -> nn.Module:
        """Return the MLP of a layer (before Gemma's norm after it)."""
        return self._part(self.layer(model, layer), self._names.mlp)

    def mlp_output(self, model: nn.Module, layer: int) -> nn.Module:
        """Return the last linear map of an MLP, whose input are its neurons, [B, T, F]."""
        return self._part(self.mlp(model, layer), self._names.mlp_output)

    def final_norm(self, model: nn.Module) -> nn.Module:
        """Return the norm before the unembedding."""
        return self._part(self.backbone(model), self._names.final_norm)

    def embedding(self, model: nn.Module) -> nn.Module:
        """Return the token embedding."""
        return self._part(self.backbone(model), self._names.embedding)

    def unembedding(self, model: nn.Module) -> nn.Module:
        """Return the linear map from the normed residual stream to logits."""
        return self._part(plain(model), self._names.unembedding)

    def logits(self, model: nn.Module, hidden: Tensor) -> Tensor:
        """Return fp32 logits, [..., V], of normed hidden states, [..., D].

        Applies the soft cap of Gemma 2, so the result is what the whole model returns.
        """
        logits = self.unembedding(model)(hidden).float()  # [..., V]
        cap = getattr(plain(model).config, "final_logit_softcapping", None)
        if cap is not None:
            logits = torch.tanh(logits / cap) * cap
        return cast(Tensor, logits)

    def head_weight(self, model: nn.Module, layer: int) -> Tensor:
        """Return what each head writes with, [H, head_dim, D]; active adapters are counted in.

        ``z[h] @ head_weight[h]`` is the contribution of head h; summed over heads, plus
        `output_bias`, it is the attention output. The result may be a view of the weight.
        """
        module = self.attention_output(model, layer)
        weight = _effective_weight(module)
        inner = getattr(module, "base_layer", module)
        if isinstance(inner, nn.Linear):
            weight = weight.T  # [H * head_dim, D]; GPT-2's Conv1D is stored this way round
        return weight.reshape(self.n_heads, self.head_dim, self.width)  # [H, head_dim, D]

    def output_bias(self, model: nn.Module, layer: int) -> Tensor:
        """Return the bias of the attention output projection, [D]; zeros where it has none."""
        module = self.attention_output(model, layer)
        module = getattr(module, "base_layer", module)
        bias = getattr(module, "bias", None)
        if bias is None:
            weight = cast(Tensor, module.weight)
            return torch.zeros(self.width, dtype=weight.dtype, device=weight.device)
        return cast(Tensor, bias)

    @property
    def _names(self) -> _Names:
        return _KNOWN[self.architecture]

    @staticmethod
    def _part(module: nn.Module, path: str) -> nn.Module:
        return cast(nn.Module, attrgetter(path)(module))


def plain(model: nn.Module) -> Any:
    """Return the transformers model inside a PEFT wrapper, or the model itself."""
    inner = getattr(model, "get_base_model", None)
    return inner() if callable(inner) else model


def check_architecture(model_type: object) -> None:
    """Refuse an architecture without a layout.

    Raises:
        BadInput: The message lists the known architectures.
    """
    if model_type not in KNOWN_ARCHITECTURES:
        raise BadInput(
            f"architecture {model_type!r}",
            "is not known",
            f"use a model of one of: {', '.join(KNOWN_ARCHITECTURES)}",
        )


def layout_of(model: nn.Module) -> Layout:
    """Return the layout of a model.

    Raises:
        BadInput: Unknown architecture (the message lists the known ones).
    """
    config = plain(model).config
    check_architecture(getattr(config, "model_type", None))
    heads = config.num_attention_heads
    return Layout(
        architecture=config.model_type,
        n_layers=config.num_hidden_layers,
        n_heads=heads,
        n_kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        context=config.max_position_embeddings,
    )


def _effective_weight(module: nn.Module) -> Tensor:
    """Weight of a linear layer with the active PEFT adapters added, in the layer's own layout."""
    base = getattr(module, "base_layer", None)
    if base is None:
        return cast(Tensor, module.weight)
    weight = cast(Tensor, base.weight)
    tuner = cast(Any, module)
    if not tuner.disable_adapters and not tuner.merged:
        for name in tuner.active_adapters:
            if name in tuner.lora_A:
                weight = weight + tuner.get_delta_weight(name).to(weight.dtype)
    return weight
