"""The pieces of a streamed answer.

A piece is what one sampled token adds to the text. Text that may turn out to be the beginning of
a stop string is held back until it cannot be, so that no part of a stop string is ever sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from providers.tiny import answers
from providers.tiny.answers import Document, Head
from providers.tiny.generation import Step


class Pieces:
    """Makes the chunks of one streamed answer."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self.choices = head.ask.n * len(head.ask.jobs)
        self._stop = head.ask.jobs[0].stop
        self._sent = [0] * self.choices
        """Characters sent of each choice."""

    def opening(self) -> list[Document]:
        """The chunks that say who speaks."""
        head = self._head
        return [answers.chunk(head, index, "", opening=True) for index in range(self.choices)]

    def piece(self, step: Step) -> Document:
        """The chunk of one token, with whatever text is now certain."""
        progress, index = step.progress, step.index
        end = len(progress.text)
        if progress.finish_reason is None:
            end -= possible_stop(progress.text, self._stop)
        text = progress.text[self._sent[index] : end]
        self._sent[index] = max(end, self._sent[index])
        return answers.chunk(
            self._head,
            index,
            text,
            finish_reason=progress.finish_reason,
            logprobs=progress.logprobs,
            logprobs_from=progress.output_tokens - 1,
        )


def possible_stop(text: str, stops: Sequence[str]) -> int:
    """Characters at the end of `text` that a stop string may begin with."""
    longest = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:length]):
                longest = length
                break
    return longest
