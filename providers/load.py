"""What a server says of itself under /metrics: names as data, one row an engine.

The text is Prometheus's: one sample a line, with labels that are summed over (an engine a label).
The names are those of vLLM 0.32 and SGLang 0.5.23, read in their sources.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import asdict, dataclass

from budgets.fullness import ServerLoad


@dataclass(frozen=True, slots=True)
class Names:
    """How one engine calls what a ServerLoad holds; "" for what it does not count."""

    running: str
    waiting: str
    preemptions: str = ""
    generated_tokens: str = ""
    kv_usage: str = ""
    prefix_queries: str = ""
    prefix_hits: str = ""


ENGINES = (
    Names(
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:num_preemptions_total",
        "vllm:generation_tokens_total",
        "vllm:kv_cache_usage_perc",
        "vllm:prefix_cache_queries_total",
        "vllm:prefix_cache_hits_total",
    ),
    Names(
        "sglang:num_running_reqs",
        "sglang:num_queue_reqs",
        "sglang:num_retracted_requests_total",
        # Its generation_tokens_total moves only when a request ends.
        "sglang:realtime_tokens_total",
        "sglang:token_usage",
        "sglang:prompt_tokens_total",
        "sglang:cached_tokens_total",
    ),
    Names("tgi_batch_current_size", "tgi_queue_size"),
    Names(
        "llamacpp:requests_processing",
        "llamacpp:requests_deferred",
        generated_tokens="llamacpp:tokens_predicted_total",
    ),
    Names("lmdeploy:num_requests_running", "lmdeploy:num_requests_waiting"),
    Names("aphrodite:num_requests_running", "aphrodite:num_requests_waiting"),
)

_SAMPLE = re.compile(
    r"^([A-Za-z_:][\w:]*)(?:\{(?:[^}\"]|\"(?:[^\"\\]|\\.)*\")*\})? (\S+)", re.MULTILINE
)


def read_load(text: str) -> ServerLoad | None:
    """The load in a /metrics page; None where no engine of the table writes there."""
    written: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        with suppress(ValueError):
            written[name] = written.get(name, 0.0) + float(value)
    sums = {_plain(name): value for name, value in written.items() if math.isfinite(value)}
    for row in ENGINES:
        names = Names(**{part: _plain(name) for part, name in asdict(row).items()})
        if names.running in sums and names.waiting in sums:
            return ServerLoad(
                running=sums[names.running],
                waiting=sums[names.waiting],
                preemptions=sums.get(names.preemptions, 0.0),
                generated_tokens=sums.get(names.generated_tokens),
                kv_usage=sums.get(names.kv_usage),
                prefix_queries=sums.get(names.prefix_queries, 0.0),
                prefix_hits=sums.get(names.prefix_hits, 0.0),
            )
    return None


def _plain(name: str) -> str:
    """A metric's name as OpenTelemetry and Ray pass it on: vllm:x is vllm_x and ray_vllm_x."""
    return name.replace(":", "_").removeprefix("ray_")
