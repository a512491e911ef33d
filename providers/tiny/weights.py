"""Reads a Hugging Face directory of a small Llama model into numpy arrays.

Takes `config.json` and `model.safetensors` (float32, float16 or bfloat16; computed in float32).
Linear layers come back transposed, so that a row of activations times a weight is the layer,
and those that share their input are joined. Whatever the numpy model does not compute (another
architecture, scaled positions, biases) is refused by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

BUNDLED = Path(__file__).resolve().parent / "model"
"""The directory of the bundled model."""


class ModelFileError(ValueError):
    """A model directory that cannot be served, with what is wrong in it."""


@dataclass(frozen=True, slots=True)
class Config:
    """The part of config.json that the computation needs."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    shared_heads: int
    head_size: int
    context_tokens: int
    epsilon: float
    rope_theta: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's weights, each as (inputs, outputs)."""

    attention_norm: Float32
    query_key_value: Float32
    attention_out: Float32
    feed_forward_norm: Float32
    gate_up: Float32
    down: Float32


@dataclass(frozen=True, slots=True)
class Weights:
    """All weights of a model."""

    config: Config
    embedding: Float32
    layers: tuple[Layer, ...]
    norm: Float32
    output: Float32


def load(directory: Path) -> Weights:
    """The weights in `directory`; raises ModelFileError, or OSError where a file is missing."""
    config = _config(directory / "config.json")
    tensors = read_safetensors(directory / "model.safetensors")

    def take(name: str, *, transposed: bool = False) -> Float32:
        if name not in tensors:
            raise ModelFileError(f"{directory / 'model.safetensors'} lacks the tensor {name!r}")
        tensor = tensors[name]
        return np.ascontiguousarray(tensor.T if transposed else tensor)

    def joined(prefix: str, *names: str) -> Float32:
        parts = [take(f"{prefix}.{name}.weight", transposed=True) for name in names]
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    layers = []
    for index in range(config.layers):
        prefix = f"model.layers.{index}"
        layers.append(
            Layer(
                attention_norm=take(f"{prefix}.input_layernorm.weight"),
                query_key_value=joined(f"{prefix}.self_attn", "q_proj", "k_proj", "v_proj"),
                attention_out=joined(f"{prefix}.self_attn", "o_proj"),
                feed_forward_norm=take(f"{prefix}.post_attention_layernorm.weight"),
                gate_up=joined(f"{prefix}.mlp", "gate_proj", "up_proj"),
                down=joined(f"{prefix}.mlp", "down_proj"),
            )
        )
    embedding = take("model.embed_tokens.weight")
    output = tensors.get("lm_head.weight", embedding)
    return Weights(
        config=config,
        embedding=embedding,
        layers=tuple(layers),
        norm=take("model.norm.weight"),
        output=np.ascontiguousarray(output.T),
    )


def _config(path: Path) -> Config:
    """The checked content of config.json."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFileError(f"{path} is not JSON: {error}") from None
    expected = {
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "rope_scaling": None,
    }
    for name, value in expected.items():
        if raw.get(name, value) != value:
            raise ModelFileError(f"{path}: {name} is {raw[name]!r}; only {value!r} can be served")
    try:
        return _numbers(raw)
    except KeyError as error:
        raise ModelFileError(f"{path} lacks {error}") from None


def _numbers(raw: dict[str, Any]) -> Config:
    """The numbers of config.json; raises KeyError for one that has no default."""
    heads = int(raw["num_attention_heads"])
    width = int(raw["hidden_size"])
    return Config(
        vocabulary=int(raw["vocab_size"]),
        width=width,
        layers=int(raw["num_hidden_layers"]),
        heads=heads,
        shared_heads=int(raw.get("num_key_value_heads", heads)),
        head_size=int(raw.get("head_dim", width // heads)),
        context_tokens=int(raw["max_position_embeddings"]),
        epsilon=float(raw["rms_norm_eps"]),
        rope_theta=float(raw.get("rope_theta", 10000.0)),
    )


def read_safetensors(path: Path) -> dict[str, Float32]:
    """Every tensor of a safetensors file as float32.

    Format: eight bytes of header length, a JSON header, the raw little-endian data
    (https://huggingface.co/docs/safetensors).
    """
    content = path.read_bytes()
    header_length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + header_length])
    except ValueError:
        raise ModelFileError(f"{path} is not a whole safetensors file") from None
    data = memoryview(content)[8 + header_length :]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        if end > len(data):
            raise ModelFileError(f"{path} ends inside the tensor {name!r}")
        tensors[name] = _as_float32(data[start:end], entry["dtype"], name).reshape(entry["shape"])
    return tensors


def _as_float32(data: memoryview, dtype: str, name: str) -> Float32:
    """Raw little-endian numbers of a safetensors type as float32."""
    if dtype == "F32":
        return np.frombuffer(data, "<f4").astype(np.float32)
    if dtype == "F16":
        return np.frombuffer(data, "<f2").astype(np.float32)
    if dtype == "BF16":
        # A bfloat16 is the upper half of a float32.
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    raise ModelFileError(f"tensor {name!r} has type {dtype}; only F32, F16 and BF16 can be read")
