"""Which server a request goes to: the one that would be done with it first. Pure.

Work is output tokens expected, from what the same prompt brought before; a server's speed is the
most tokens a second that it was lately seen to make. A prompt that a server has cached only breaks
ties: hashing prompts to servers leaves some idle while others have a queue.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

TIE = 0.05
"""Finishing times that differ by less are equal."""
SHRINK = 4.0
"""How many samples of other prompts the average of all counts as."""
MOST_PROMPTS = 20_000
LEARN_FULL, LEARN_IDLE = 0.2, 0.02


class Expected:
    """Output tokens of one sample, by prompt, learnt from answers."""

    def __init__(self, most: float) -> None:
        """`most`: max_tokens, half of which is expected before anything came."""
        self._sum = most / 2
        self._count = 1.0
        self._prompts: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @property
    def mean(self) -> float:
        return self._sum / self._count

    def of(self, prompt: str) -> float:
        """Tokens expected of one sample."""
        tokens, count = self._prompts.get(prompt, (0.0, 0.0))
        return (tokens + SHRINK * self.mean) / (count + SHRINK)

    def saw(self, prompt: str, tokens: float, samples: int) -> None:
        self._sum += tokens
        self._count += samples
        before = self._prompts.pop(prompt, (0.0, 0.0))
        self._prompts[prompt] = (before[0] + tokens, before[1] + samples)
        if len(self._prompts) > MOST_PROMPTS:
            self._prompts.popitem(last=False)


class TokenSpeed:
    """The tokens a second that a server makes when it has enough to do."""

    def __init__(self) -> None:
        self.tokens_per_s = 0.0
        """0: not known yet."""

    def saw(self, tokens: float, latency_s: float, share: float, *, full: bool) -> None:
        """A request brought `tokens` and was `share` (0 to 1] of what the server then worked on.

        By Little's law what all of it brought is that over the share. A server that was not full
        shows less than it can, so such answers count little.
        """
        seen = tokens / max(latency_s, 1e-6) / max(share, 1e-6)
        if not self.tokens_per_s:
            self.tokens_per_s = seen
            return
        weight = LEARN_FULL if full or seen > self.tokens_per_s else LEARN_IDLE
        self.tokens_per_s += weight * (seen - self.tokens_per_s)


class Candidate(Protocol):
    """What is asked of a server."""

    work: float
    """Output tokens expected of all that it works on."""
    speed: TokenSpeed

    def has_seen(self, prompt: str) -> bool:
        """Whether its prefix cache may hold the prompt."""
        ...


def choose(servers: Sequence[Candidate], work: float, prompt: str) -> int:
    """The index of the server that would be done first with `work` more tokens."""
    known = [server.speed.tokens_per_s for server in servers if server.speed.tokens_per_s]
    usual = sum(known) / len(known) if known else 1.0
    times = [(server.work + work) / (server.speed.tokens_per_s or usual) for server in servers]
    least = min(times)
    near = [n for n, time in enumerate(times) if time <= least * (1 + TIE)]
    warm = [n for n in near if servers[n].has_seen(prompt)]
    return min(warm or near, key=times.__getitem__)
