"""What the server counts, as Prometheus text.

Names and meanings are vLLM's where vLLM has the metric, so that one reader serves both; the
count by status is our own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

LATENCY_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters since the server started. Used from the event loop alone."""

    def __init__(self, model: str) -> None:
        self._label = 'model_name="' + model.replace("\\", "\\\\").replace('"', '\\"') + '"'
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.finished: Counter[str] = Counter()
        """Choices by finish reason."""
        self.answers: Counter[tuple[str, int]] = Counter()
        """Answers by path and status; 499 stands for a client that went away."""
        self._latency_counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self._latency_sum = 0.0

    def observe_latency(self, seconds: float) -> None:
        """Count one answered generation request, from its arrival to its last token."""
        self._latency_counts[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self._latency_sum += seconds

    def render(self, *, running: int, waiting: int) -> str:
        """The text of /metrics."""
        label = self._label
        lines: list[str] = []

        def add(name: str, kind: str, help_text: str, *samples: tuple[str, float]) -> None:
            lines.append(f"# HELP {name} {help_text}")
            lines.append(f"# TYPE {name} {kind}")
            lines.extend(f"{name}{suffix} {value}" for suffix, value in samples)

        plain = f"{{{label}}}"
        add("vllm:num_requests_running", "gauge", "Choices in the batch.", (plain, running))
        add("vllm:num_requests_waiting", "gauge", "Choices not begun.", (plain, waiting))
        add(
            "vllm:prompt_tokens_total",
            "counter",
            "Prompt tokens of answered requests.",
            (plain, self.prompt_tokens),
        )
        add(
            "vllm:generation_tokens_total",
            "counter",
            "Tokens generated for answered requests.",
            (plain, self.generation_tokens),
        )
        add(
            "vllm:request_success_total",
            "counter",
            "Choices by finish reason.",
            *(
                (f'{{finished_reason="{reason}",{label}}}', count)
                for reason, count in sorted(self.finished.items())
            ),
        )
        add(
            "orch_serve_answers_total",
            "counter",
            "Answers by path and status.",
            *(
                (f'{{path="{path}",status="{status}",{label}}}', count)
                for (path, status), count in sorted(self.answers.items())
            ),
        )
        lines += self._latency_lines()
        return "\n".join(lines) + "\n"

    def _latency_lines(self) -> list[str]:
        name, label = "vllm:e2e_request_latency_seconds", self._label
        lines = [f"# HELP {name} Seconds from arrival to last token.", f"# TYPE {name} histogram"]
        total = 0
        for bound, count in zip((*LATENCY_BOUNDS_S, "+Inf"), self._latency_counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}",{label}}} {total}')
        lines.append(f"{name}_sum{{{label}}} {self._latency_sum}")
        lines.append(f"{name}_count{{{label}}} {total}")
        return lines
