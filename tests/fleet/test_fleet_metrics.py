"""What engines write under /metrics, in the forms that their sources give it."""

from __future__ import annotations

from providers.load import ENGINES, read_load

SGLANG = """# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="m/x",pid="4",tp_rank="0"} 7.0
sglang:num_queue_reqs{engine_type="unified",model_name="m/x",pid="4",tp_rank="0"} 2.0
sglang:token_usage{model_name="m/x",tp_rank="0"} 0.25
sglang:num_retracted_reqs{model_name="m/x"} 9.0
sglang:num_retracted_requests_total{model_name="m/x"} 3.0
sglang:realtime_tokens_total{mode="prefill_compute",model_name="m/x"} 100.0
sglang:realtime_tokens_total{mode="decode",model_name="m/x"} 400.0
sglang:generation_tokens_total{is_streaming="false",model_name="m/x"} 64.0
sglang:prompt_tokens_total{is_streaming="false",model_name="m/x"} 80.0
sglang:cached_tokens_total{cache_source="device",model_name="m/x"} 50.0
sglang:cached_tokens_total{cache_source="host",model_name="m/x"} 10.0
"""


def test_sglang_tells_its_load() -> None:
    load = read_load(SGLANG)
    assert load is not None
    assert (load.running, load.waiting, load.preemptions) == (7, 2, 3)
    assert (load.kv_usage, load.prefix_queries, load.prefix_hits) == (0.25, 80, 60)
    # What moves while a long request runs, not only when one ends.
    assert load.generated_tokens == 500


def test_other_pages_tell_nothing() -> None:
    assert read_load("") is None and read_load("python_info 1.0\n") is None
    assert read_load("sglang:num_running_reqs 1.0\n") is None
    for names in ENGINES:
        assert read_load(f"{names.running} 1\n{names.waiting} NaN_of_words\n") is None
        assert read_load(f"{names.running} 1\n{names.waiting} 0\n") is not None
