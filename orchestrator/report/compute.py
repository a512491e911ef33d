"""Floating point operations and GPU-hours of an arm, from what its run stored.

Operations follow the formula of `analysis/flops.py` with the tokens that were used, the prompt
counted once per problem. They need the model's shape: of a config.json that the caller names, of
a model that is a local directory, of the bundled model, or of one that the paper samples. Of any
other model none are reported. GPU-hours are those of arms whose server is paid by the hour.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from budgets.given import read_given
from budgets.money import picodollars
from orchestrator.analysis.flops import ModelShape, expected_flops, shape_of
from orchestrator.errors import ConfigError
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow

_LLAMA = {"model_type": "llama", "num_key_value_heads": 8, "vocab_size": 128256}
_LLAMA_8B = {**_LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
             "num_attention_heads": 32}  # fmt: skip
_LLAMA_70B = {**_LLAMA, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
              "num_attention_heads": 64}  # fmt: skip
_GEMMA = {"model_type": "gemma", "head_dim": 256, "vocab_size": 256000}


def _pythia(width: int, layers: int, heads: int, vocabulary: int = 50304) -> dict[str, Any]:
    return {
        "model_type": "gpt_neox", "hidden_size": width, "intermediate_size": 4 * width,
        "num_hidden_layers": layers, "num_attention_heads": heads, "vocab_size": vocabulary,
    }  # fmt: skip


KNOWN: Mapping[str, Mapping[str, Any]] = {
    "llama38b": _LLAMA_8B,
    "llama370b": _LLAMA_70B,
    "llama318b": _LLAMA_8B,
    "llama3170b": _LLAMA_70B,
    "gemma2b": {**_GEMMA, "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18,
                "num_attention_heads": 8, "num_key_value_heads": 1},
    "gemma7b": {**_GEMMA, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
                "num_attention_heads": 16, "num_key_value_heads": 16},
    "pythia70m": _pythia(512, 6, 8),
    "pythia160m": _pythia(768, 12, 12),
    "pythia410m": _pythia(1024, 24, 16),
    "pythia1b": _pythia(2048, 16, 8),
    "pythia14b": _pythia(2048, 24, 16),
    "pythia28b": _pythia(2560, 32, 32),
    "pythia69b": _pythia(4096, 32, 32, 50432),
    "pythia12b": _pythia(5120, 36, 40, 50688),
    "deepseekcoderv2": {
        "model_type": "deepseek_v2", "hidden_size": 5120, "intermediate_size": 12288,
        "moe_intermediate_size": 1536, "num_hidden_layers": 60, "num_attention_heads": 128,
        "vocab_size": 102400, "n_routed_experts": 160, "n_shared_experts": 2,
        "num_experts_per_tok": 6, "first_k_dense_replace": 1, "kv_lora_rank": 512,
        "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    },
}  # fmt: skip
"""What the config.json of the paper's models says, as far as operations need it."""


def read_shapes(given: Sequence[str]) -> dict[str, ModelShape]:
    """Shapes by model from [MODEL=]PATH, PATH a config.json or its directory; raises ConfigError.

    Without MODEL= the shape is every model's (the key "").
    """
    shapes = {}
    for one in given:
        model, equals, path = one.partition("=")
        shapes[model if equals else ""] = read_shape(Path(path if equals else one))
    return shapes


def read_shape(path: Path) -> ModelShape:
    """The shape in a config.json, or in a directory that holds one; raises ConfigError."""
    file = path / "config.json" if path.is_dir() else path
    try:
        content = json.loads(read_given(file))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{file} is not JSON; give a model's config.json.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} is not a model's config.json: it holds no object.")
    inner = content.get("text_config")
    try:
        return shape_of(inner if isinstance(inner, dict) else content)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ConfigError(f"{file}: {error}.") from None


def shape_for(model: str, shapes: Mapping[str, ModelShape]) -> ModelShape | None:
    """The shape of a model by its name; None where nothing is known of it."""
    for name in (model, ""):
        if name in shapes:
            return shapes[name]
    from providers.tiny import MODEL_ID

    if model == MODEL_ID:
        from providers.tiny.publish import CONFIG

        return shape_of(CONFIG)
    if (Path(model) / "config.json").is_file():
        return read_shape(Path(model))
    name = model.rsplit("/", 1)[-1].lower().removeprefix("meta-")
    name = re.sub(r"-(instruct|it|deduped)\b", "", name)
    config = KNOWN.get(re.sub(r"[^a-z0-9]", "", name))
    return None if config is None else shape_of(config)


def operations(
    reader: RunReader, arm: ArmRow, problems: int, shape: ModelShape | None, ks: Sequence[int]
) -> list[float | None]:
    """Operations of k attempts at every problem, for each of `ks`.

    None where the shape is unknown, or some problem has no sample whose tokens are known.
    """
    tokens = [] if shape is None else reader.tokens_per_problem(arm.number)
    if shape is None or len(tokens) < problems:
        return [None] * len(ks)
    return [sum(expected_flops(shape, *row, k) for row in tokens) for k in ks]


def gpu_hours(reader: RunReader, arm: ArmRow, spent: int) -> float | None:
    """GPUs times hours for which the arm's server was held; None where it is not paid by the hour.

    From the dollars where an hour has a price; of a free server, the time in which at least one
    of the arm's requests was in flight.
    """
    if not arm.spec.get("gpu_hour"):
        return None
    price = picodollars(str(arm.spec["gpu_hour"]))
    if price > 0 and spent:
        return spent / price
    return int(arm.spec.get("gpus") or 1) * busy_s(reader.request_times(arm.number)) / 3600.0


def busy_s(times: Iterator[tuple[float, float]]) -> float:
    """How long at least one of the intervals (from, to) lasted; they come sorted by their start."""
    busy, end = 0.0, float("-inf")
    for start, stop in times:
        busy += max(stop - max(start, end), 0.0)
        end = max(end, stop)
    return busy
