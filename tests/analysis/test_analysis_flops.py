"""Parameter counts of published models, and the sum over positions."""

from __future__ import annotations

import pytest

from orchestrator.analysis.flops import ModelShape, expected_flops, flops, shape_of


def llama(width: int, inner: int, layers: int, heads: int) -> dict[str, object]:
    return {
        "model_type": "llama", "hidden_size": width, "intermediate_size": inner,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": 8,
        "vocab_size": 128256, "tie_word_embeddings": False,
    }  # fmt: skip


def pythia(width: int, layers: int, heads: int, vocabulary: int = 50304) -> dict[str, object]:
    return {
        "model_type": "gpt_neox", "hidden_size": width, "intermediate_size": 4 * width,
        "num_hidden_layers": layers, "num_attention_heads": heads, "vocab_size": vocabulary,
        "tie_word_embeddings": False,
    }  # fmt: skip


def gemma(width: int, inner: int, layers: int, heads: int, shared: int) -> dict[str, object]:
    return {
        "model_type": "gemma", "hidden_size": width, "intermediate_size": inner, "head_dim": 256,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": shared,
        "vocab_size": 256000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        # The totals that the models' own weight files hold.
        (llama(4096, 14336, 32, 32), 8_030_261_248),
        (llama(8192, 28672, 80, 64), 70_553_706_496),
        (pythia(512, 6, 8), 70_426_624),
        (pythia(768, 12, 12), 162_322_944),
        (pythia(4096, 32, 32, 50432), 6_857_302_016),
        (gemma(2048, 16384, 18, 8, 1), 2_506_172_416),
        (gemma(3072, 24576, 28, 16, 16), 8_537_680_896),
    ],
)
def test_parameters_are_those_of_the_published_weights(
    config: dict[str, object], parameters: int
) -> None:
    shape = shape_of(config)
    assert shape.parameters == parameters
    assert shape.layers == config["num_hidden_layers"]
    assert shape.width == config["hidden_size"]


def test_a_mixture_of_experts_counts_the_routed_ones() -> None:
    mixtral = {
        **llama(4096, 14336, 32, 32), "model_type": "mixtral", "vocab_size": 32000,
        "num_local_experts": 8, "num_experts_per_tok": 2,
    }  # fmt: skip
    assert shape_of(mixtral).parameters == 12_879_925_248


def test_of_experts_one_is_chosen_where_nothing_is_said() -> None:
    config = {**llama(64, 96, 2, 4), "num_local_experts": 4}
    one = shape_of({**config, "num_experts_per_tok": 1}).parameters
    assert shape_of(config).parameters == one
    assert shape_of({**config, "num_experts_per_tok": 2}).parameters == one + 2 * 3 * 64 * 96


def test_answers_of_unequal_length_count_by_their_mean_square() -> None:
    shape = ModelShape(parameters=1000, layers=3, width=10)
    lengths = [3, 8, 10]
    by_hand = sum(flops(shape, 5, n, 1) - flops(shape, 5, n, 0) for n in lengths)
    found = expected_flops(shape, 5, sum(lengths) / 3, sum(n * n for n in lengths) / 3, 3)
    assert found == pytest.approx(flops(shape, 5, 7, 0) + by_hand, rel=1e-12)


def test_latent_attention_and_shared_experts() -> None:
    deepseek_v2 = {
        "model_type": "deepseek_v2", "hidden_size": 5120, "intermediate_size": 12288,
        "moe_intermediate_size": 1536, "num_hidden_layers": 60, "num_attention_heads": 128,
        "num_key_value_heads": 128, "vocab_size": 102400, "n_routed_experts": 160,
        "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1,
        "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "v_head_dim": 128,
    }  # fmt: skip
    queries = 1536 * (5120 + 128 * (128 + 64))
    keys = 5120 * (512 + 64) + 512 * 128 * (128 + 128)
    attention = queries + keys + 128 * 128 * 5120
    dense, routed = 3 * 5120 * 12288, 3 * 5120 * 1536 * 8 + 160 * 5120
    feed_forward = (dense + 59 * routed) // 60
    by_hand = 60 * (attention + feed_forward + 2 * 5120) + 2 * 102400 * 5120 + 5120
    assert shape_of(deepseek_v2).parameters == by_hand
    # Published as 21 billion active parameters.
    assert by_hand == pytest.approx(21e9, rel=0.02)


def test_queries_without_compression_and_biases() -> None:
    plain = {
        "model_type": "other", "hidden_size": 64, "intermediate_size": 100, "vocab_size": 10,
        "num_hidden_layers": 1, "num_attention_heads": 4, "tie_word_embeddings": True,
    }  # fmt: skip
    attention, feed_forward, rest = 4 * 64 * 64, 3 * 64 * 100, 2 * 64 + 10 * 64 + 64
    assert shape_of(plain).parameters == attention + feed_forward + rest
    biased = shape_of({**plain, "attention_bias": True}).parameters
    assert biased == attention + feed_forward + rest + 3 * 64 + 64
    assert shape_of({**plain, "mlp_bias": True}).parameters == attention + feed_forward + rest
    latent = {
        **plain, "kv_lora_rank": 8, "qk_nope_head_dim": 6, "qk_rope_head_dim": 2, "v_head_dim": 5,
    }  # fmt: skip
    attention = 64 * 4 * 8 + 64 * (8 + 2) + 8 * 4 * (6 + 5) + 4 * 5 * 64
    assert shape_of(latent).parameters == attention + feed_forward + rest
    assert shape_of({**plain, "intermediate_size": None}).parameters == (
        4 * 64 * 64 + 3 * 64 * 256 + rest
    )


def test_operations_sum_over_positions_with_the_prompt_once() -> None:
    shape = ModelShape(parameters=1000, layers=3, width=10)

    def token(context: int) -> float:
        return 2.0 * (1000 + 2 * 3 * 10 * context)

    prompt = sum(token(t) for t in range(1, 6))
    answer = sum(token(5 + t) for t in range(1, 8))
    assert flops(shape, 5, 7, 1) == prompt + answer
    assert flops(shape, 5, 7, 100) == prompt + 100 * answer
    assert flops(shape, 5, 7, 0) == prompt


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ValueError, match="'hidden_size'"):
        shape_of({"vocab_size": 10})
    with pytest.raises(ValueError, match="'qk_nope_head_dim'"):
        shape_of({**llama(64, 64, 1, 1), "kv_lora_rank": 8})
