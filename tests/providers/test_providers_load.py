"""What servers say of themselves: their load under /metrics, and how long a context they take."""

import json
from typing import Any

import pytest

from providers.laned import model_cards
from providers.load import read_load

PAGES = {
    "vLLM": 'vllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_running{engine="1"} 1\n'
    'vllm:num_requests_waiting{engine="0"} 7\n',
    "SGLang": "sglang:num_running_reqs 4\nsglang:num_queue_reqs 7\nsglang:token_usage 0.5\n",
    "TGI": "# TYPE tgi_queue_size gauge\ntgi_queue_size 7\ntgi_batch_current_size 4\n",
    "llama.cpp": "llamacpp:requests_processing 4\nllamacpp:requests_deferred 7\n",
    "OpenTelemetry": "vllm_num_requests_running 4.0\nvllm_num_requests_waiting 7.0\n",
    "Ray": 'ray_vllm:num_requests_running{m="a}b\\"c"} 4\nray_vllm:num_requests_waiting 7\n',
    "LMDeploy": 'lmdeploy:num_requests_running{model="m"} 4\nlmdeploy:num_requests_waiting 7\n',
}


@pytest.mark.parametrize("engine", PAGES)
def test_what_runs_and_waits_is_read(engine: str) -> None:
    load = read_load(PAGES[engine])
    assert load is not None and (load.running, load.waiting) == (4, 7)


def test_other_pages_tell_nothing() -> None:
    assert read_load("process_cpu_seconds_total 3\n") is None
    assert read_load("tgi_queue_size 7\n") is None
    assert read_load("tgi_batch_current_size NaN\ntgi_queue_size 7\n") is None


CARDS = [
    ({"max_model_len": 40}, 40),
    ({"context_length": "40"}, 40),
    ({"context_window": 40.0}, 40),
    ({"max_context_length": 131072, "loaded_context_length": 40}, 40),
    ({"meta": {"n_ctx_train": 131072, "n_ctx": 40}}, 40),
    ({"meta": {"n_ctx_train": 131072}}, None),
    ({"max_model_len": -1, "context_length": 0}, None),
]


@pytest.mark.parametrize(("told", "tokens"), CARDS)
def test_a_models_context_is_read_from_its_card(told: dict[str, Any], tokens: int | None) -> None:
    body = json.dumps({"object": "list", "data": [{"id": "m", **told}]}).encode()
    (card,) = model_cards(body, "here")
    assert card.max_model_len == tokens
