"""Tiny random models of every known architecture, and plain full-hook patching to compare with."""

import torch
import transformers as tf

VOCABULARY = 61
_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED = {**_COMMON, "num_key_value_heads": 2}
CONFIGS = {
    "llama": lambda: tf.LlamaConfig(**_GROUPED, attention_bias=True),
    "qwen2": lambda: tf.Qwen2Config(**_GROUPED),
    "qwen3": lambda: tf.Qwen3Config(**_GROUPED, head_dim=6),
    "mistral": lambda: tf.MistralConfig(**_GROUPED, sliding_window=5),
    "gemma2": lambda: tf.Gemma2Config(
        **_GROUPED,
        head_dim=6,
        sliding_window=5,
        query_pre_attn_scalar=9,
        attn_logit_softcapping=0.5,
        final_logit_softcapping=0.7,
    ),
    "gemma3": lambda: tf.Gemma3TextConfig(
        **_GROUPED,
        head_dim=6,
        sliding_window=5,
        query_pre_attn_scalar=9,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "phi3": lambda: tf.Phi3Config(**_GROUPED, sliding_window=6),
    "gpt2": lambda: tf.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=16,
        n_layer=3,
        n_head=4,
        n_positions=64,
        n_inner=24,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "gpt_neox": lambda: tf.GPTNeoXConfig(**_COMMON, use_parallel_residual=True),
    "gpt_neox_serial": lambda: tf.GPTNeoXConfig(**_COMMON, use_parallel_residual=False),
}


def tiny(name, seed=0, scale=8.0, **changes):
    """A random model; weights are scaled up so that heads matter."""
    config = CONFIGS[name]()
    for key, value in changes.items():
        setattr(config, key, value)
    model = tf.AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.02 * scale if parameter.dim() > 1 else 1 + 0.1 * noise)
    return model


def prompts_of(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        tuple(torch.randint(3, VOCABULARY, (n,), generator=generator).tolist()) for n in lengths
    ]


@torch.no_grad()
def full_logprobs(model, prompt, response, edits=()):
    """Log-probabilities of the response by one full forward of one unpadded input.

    edits: (module, "input" or "output", fn of the row at the last prompt token) triples.
    """
    place = len(prompt) - 1
    handles = []
    for module, where, fn in edits:

        def before(_, args, fn=fn):
            value = args[0].clone()
            value[:, place] = fn(value[:, place])
            return (value, *args[1:])

        def after(_, __, output, fn=fn):
            whole = output[0] if isinstance(output, tuple) else output
            value = whole.clone()
            value[:, place] = fn(value[:, place])
            return (value, *output[1:]) if isinstance(output, tuple) else value

        handles.append(
            module.register_forward_pre_hook(before)
            if where == "input"
            else module.register_forward_hook(after)
        )
    try:
        logits = model(torch.tensor([[*prompt, *response]])).logits[0].float()
    finally:
        for handle in handles:
            handle.remove()
    rows = logits[place : place + len(response)].log_softmax(-1)
    return rows.gather(1, torch.tensor(response)[:, None])[:, 0]
