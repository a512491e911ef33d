"""Floating point operations of sampling, by the formula of the paper's version 3.

Brown et al., Large Language Monkeys (arXiv 2407.21787v3), section 2: one token at context t
takes about 2 (parameters + 2 layers x width x t); a problem takes the prompt's tokens once and
every completion's tokens at the contexts they have, sum over t in closed form. Where no prefix
is shared, the prompt counts once per request instead.

A model's shape is read from its Hugging Face config.json. As in the paper all its parameters
count, embeddings included; of a mixture of experts only those that one token passes through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What the formula needs of a model."""

    parameters: int
    layers: int
    width: int
    """The token dimension (hidden size)."""


def flops(
    shape: ModelShape, prompt_tokens: float, completion_tokens: float, completions: float
) -> float:
    """Operations for `completions` answers of one length to one prompt, the prompt counted once."""
    return expected_flops(
        shape, prompt_tokens, completion_tokens, completion_tokens**2, completions
    )


def expected_flops(
    shape: ModelShape,
    prompt_tokens: float,
    mean_tokens: float,
    mean_square: float,
    completions: float,
) -> float:
    """Operations for `completions` answers whose lengths have this mean and mean square."""
    prompt = _span(shape, 0.0, prompt_tokens, prompt_tokens**2)
    return prompt + completions * _span(shape, prompt_tokens, mean_tokens, mean_square)


def _span(shape: ModelShape, before: float, tokens: float, square: float) -> float:
    """The sum over t = before+1 .. before+tokens of 2 (parameters + 2 layers x width x t)."""
    positions = tokens * before + (square + tokens) / 2.0
    return 2.0 * (shape.parameters * tokens + 2.0 * shape.layers * shape.width * positions)


def shape_of(config: Mapping[str, Any]) -> ModelShape:
    """The shape of a decoder from its config.json; raises ValueError naming a missing field."""
    width = _field(config, "hidden_size", "n_embd", "d_model")
    layers = _field(config, "num_hidden_layers", "n_layer", "n_layers")
    vocabulary = _field(config, "vocab_size")
    norm = 2 * width if _is_plain(config) else width
    per_layer = _attention(config, width) + _feed_forward(config, width, layers) + 2 * norm
    tables = 1 if config.get("tie_word_embeddings", _ties(config)) else 2
    return ModelShape(layers * per_layer + tables * vocabulary * width + norm, layers, width)


def _attention(config: Mapping[str, Any], width: int) -> int:
    heads = _field(config, "num_attention_heads", "n_head", "n_heads")
    if config.get("kv_lora_rank"):
        return _latent_attention(config, width, heads)
    size = int(config.get("head_dim") or width // heads)
    shared = int(config.get("num_key_value_heads") or heads)
    weights = width * size * (2 * heads + 2 * shared)
    if _biased(config, "attention_bias"):
        weights += size * (heads + 2 * shared) + width
    return weights


def _latent_attention(config: Mapping[str, Any], width: int, heads: int) -> int:
    """Multi-head latent attention of the DeepSeek models."""
    plain, rotary = _field(config, "qk_nope_head_dim"), _field(config, "qk_rope_head_dim")
    value, rank = _field(config, "v_head_dim"), _field(config, "kv_lora_rank")
    asked = config.get("q_lora_rank")
    query = heads * (plain + rotary)
    queries = int(asked) * (width + query) if asked else width * query
    keys = width * (rank + rotary) + rank * heads * (plain + value)
    return queries + keys + heads * value * width


def _feed_forward(config: Mapping[str, Any], width: int, layers: int) -> int:
    """Weights of one layer's feed-forward part that a token passes through, on average."""
    inner = int(config.get("intermediate_size") or config.get("n_inner") or 4 * width)
    matrices = 2 if _is_plain(config) else 3
    dense = matrices * width * inner
    if matrices == 2 and _biased(config, "mlp_bias"):
        dense += inner + width
    experts = int(config.get("n_routed_experts") or config.get("num_local_experts")
                  or config.get("num_experts") or 0)  # fmt: skip
    if not experts:
        return dense
    chosen = int(config.get("num_experts_per_tok") or 1) + int(config.get("n_shared_experts") or 0)
    small = int(config.get("moe_intermediate_size") or inner)
    first = int(config.get("first_k_dense_replace") or 0)
    routed = 3 * width * small * chosen + experts * width
    return (first * dense + (layers - first) * routed) // layers


def _is_plain(config: Mapping[str, Any]) -> bool:
    """Whether the feed-forward part is two matrices instead of a gated three."""
    return str(config.get("model_type", "")) in {"gpt_neox", "gpt2", "opt", "phi", "bloom"}


def _biased(config: Mapping[str, Any], name: str) -> bool:
    return bool(config.get(name, str(config.get("model_type", "")) in {"gpt_neox", "gpt2", "opt"}))


def _ties(config: Mapping[str, Any]) -> bool:
    return str(config.get("model_type", "")) in {"gemma", "gemma2", "gpt2"}


def _field(config: Mapping[str, Any], *names: str) -> int:
    for name in names:
        if config.get(name) is not None:
            return int(config[name])
    raise ValueError(f"the config.json has no {names[0]!r}, which the count of operations needs")
