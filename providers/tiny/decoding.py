"""Continuous batching: many requests advance together, one token a step.

A row is one distinct text of one request, with its keys and values; its members are the choices
that have sampled exactly this text so far. All choices of a request begin as one row, and a row
divides where its members sample different tokens, so that nothing is computed twice. Requests
join and leave between steps. Synchronous and single-threaded; `engine.py` gives it a thread.

Invariant: the members of a request are distinct choices, so rows never outnumber members, and
there are never more members than the pool has slots.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from providers.tiny import sampling
from providers.tiny.cache import Pool, PromptCache
from providers.tiny.job import GenerationJob, SampledTokens, TokenLogprob
from providers.tiny.llama import BLOCK, Model
from providers.tiny.rows import Bool, Members, Rows
from providers.tiny.tokenizer import EOS_ID, decode
from providers.tiny.weights import Float32, Int64


@dataclass(slots=True)
class _Live:
    """What the batch keeps of a running job."""

    job: GenerationJob
    open_choices: int
    logprobs: dict[tuple[int, ...], tuple[TokenLogprob, ...]] = field(default_factory=dict)
    """Of every text that is still growing, by its tokens."""


class DecodingBatch:
    """The running jobs. `step` advances every choice by one token."""

    def __init__(self, model: Model, capacity: int, cached_prompts: int = 1024) -> None:
        self.capacity = capacity
        self.vocabulary = model.config.vocabulary
        self._model = model
        self._pool = Pool(model.config, capacity)
        self._prompts = PromptCache(cached_prompts)
        self._live: dict[int, _Live] = {}
        self._rows = self._no_rows()
        self._members = Members(
            np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64)
        )

    @property
    def running(self) -> int:
        """Choices in the batch."""
        return len(self._members.row)

    def add(self, job_id: int, job: GenerationJob) -> None:
        """Begin a job; the caller has checked that `running + job.n <= capacity`."""
        slot = self._pool.take(1)
        if len(job.prompt) > 1:
            prefix = self._prompts.get(job.prompt[:-1], self._model.prefill)
            self._pool.write(int(slot[0]), prefix)
        row = self._first_row(job_id, job, slot)
        self._members = Members(
            np.concatenate([self._members.row, np.full(job.n, len(self._rows))]),
            np.concatenate([self._members.choice, np.arange(job.n)]),
            np.concatenate([self._members.stream, sampling.streams(job.seed, job.n)]),
        )
        self._rows = self._rows.joined(row)
        self._live[job_id] = _Live(job, job.n, {(): ()})

    def cancel(self, job_id: int) -> int | None:
        """Forget a job; returns the tokens sampled for its unfinished choices, None if gone."""
        if self._live.pop(job_id, None) is None:
            return None
        kept = np.nonzero(self._rows.job != job_id)[0]
        self._pool.give_back(self._rows.slot[self._rows.job == job_id])
        generated = self._rows.generated[self._members.row]
        output_tokens = int(generated[self._rows.job[self._members.row] == job_id].sum())
        renumbered = np.full(len(self._rows), -1)
        renumbered[kept] = np.arange(len(kept))
        self._keep_members(renumbered[self._members.row])
        self._rows = self._rows.at(kept)
        return output_tokens

    def step(self) -> list[SampledTokens]:
        """Advance every choice; returns what finished and what is streamed, in no fixed order."""
        rows, members = self._rows, self._members
        logits = self._model.decode(rows.token, rows.position, rows.slot, self._pool)
        numbers = sampling.uniform(members.stream, rows.generated[members.row])
        cumulated = sampling.cumulative(logits, rows.temperature, rows.top_p)
        tokens = sampling.invert(cumulated, members.row, numbers)
        groups, group_of = np.unique(members.row * self.vocabulary + tokens, return_inverse=True)
        parents, sampled = np.divmod(groups, self.vocabulary)
        children = self._children(parents, sampled)
        ended = (sampled == EOS_ID) | (children.generated >= children.limit)
        self._keep_logprobs(parents, children, logits)
        stops = self._stopped(children)
        ended[list(stops)] = True
        progress = self._progress(children, ended, stops, group_of)
        self._advance(parents, children, ended, group_of)
        return progress

    def _no_rows(self) -> Rows:
        integers, floats = np.empty(0, np.int64), np.empty(0, np.float64)
        return Rows(
            job=integers,
            slot=integers,
            token=integers,
            position=integers,
            generated=integers,
            limit=integers,
            temperature=floats,
            top_p=floats,
            watched=np.empty(0, np.bool_),
            history=np.empty((0, self._model.config.context_tokens), np.uint8),
        )

    def _first_row(self, job_id: int, job: GenerationJob, slot: Int64) -> Rows:
        """The one row in which all choices of a job begin."""

        def one(value: int) -> Int64:
            return np.array([value], np.int64)

        return Rows(
            job=one(job_id),
            slot=slot,
            token=one(job.prompt[-1]),
            position=one(len(job.prompt) - 1),
            generated=one(0),
            limit=one(job.max_tokens),
            temperature=np.array([job.temperature]),
            top_p=np.array([job.top_p]),
            watched=np.array([bool(job.stop) or job.streamed or job.top_logprobs is not None]),
            history=np.zeros((1, self._model.config.context_tokens), np.uint8),
        )

    def _children(self, parents: Int64, sampled: Int64) -> Rows:
        """The rows after this step's tokens, ended ones included, slots still the parents'."""
        children = self._rows.at(parents)
        children.history[np.arange(len(parents)), children.generated] = sampled
        return replace(
            children,
            token=sampled,
            position=children.position + 1,
            generated=children.generated + 1,
        )

    def _stopped(self, children: Rows) -> dict[int, str]:
        """The rows whose text has just reached a stop string, with the text before it."""
        stopped = {}
        for index in np.nonzero(children.watched)[0].tolist():
            job = self._live[int(children.job[index])].job
            if not job.stop or children.token[index] == EOS_ID:
                continue
            text = decode(children.text_tokens(index))
            # Tokens are single characters, so a stop string can only end where the text does.
            endings = [stop for stop in job.stop if text.endswith(stop)]
            if endings:
                stopped[index] = text[: -max(map(len, endings))]
        return stopped

    def _keep_logprobs(self, parents: Int64, children: Rows, logits: Float32) -> None:
        """Extend the log-probabilities of every text whose job wants them."""
        grown: dict[int, dict[tuple[int, ...], tuple[TokenLogprob, ...]]] = {}
        for index in np.nonzero(children.watched)[0].tolist():
            job_id = int(children.job[index])
            live = self._live[job_id]
            if live.job.top_logprobs is None:
                continue
            history = children.text_tokens(index)
            entry = _token_logprob(logits[parents[index]], history[-1], live.job.top_logprobs)
            grown.setdefault(job_id, {})[history] = (*live.logprobs[history[:-1]], entry)
        for job_id, logprobs in grown.items():
            self._live[job_id].logprobs = logprobs

    def _progress(
        self, children: Rows, ended: Bool, stops: dict[int, str], group_of: Int64
    ) -> list[SampledTokens]:
        """What to report of this step; forgets the jobs that it completes."""
        reported = ended.copy()
        for index in np.nonzero(children.watched)[0].tolist():
            reported[index] |= self._live[int(children.job[index])].job.streamed
        order = np.argsort(group_of, kind="stable")
        bounds = np.searchsorted(group_of[order], np.arange(len(children) + 1))
        progress = []
        for index in np.nonzero(reported)[0].tolist():
            choices = self._members.choice[order[bounds[index] : bounds[index + 1]]]
            job_id, token = int(children.job[index]), int(children.token[index])
            live, history = self._live[job_id], children.text_tokens(index)
            reason = None
            if ended[index]:
                reason = "stop" if token == EOS_ID or index in stops else "length"
                live.open_choices -= len(choices)
            progress.append(
                SampledTokens(
                    job_id=job_id,
                    choices=tuple(choices.tolist()),
                    token=token,
                    finish_reason=reason,
                    text=stops[index] if index in stops else decode(history),
                    output_tokens=len(history),
                    logprobs=live.logprobs.get(history),
                    last=not live.open_choices,
                )
            )
            if not live.open_choices:
                del self._live[job_id]
        return progress

    def _advance(self, parents: Int64, children: Rows, ended: Bool, group_of: Int64) -> None:
        """Make the children that go on the batch's rows, each with a slot of its own."""
        going = np.nonzero(~ended)[0]
        going_parents = parents[going]
        # Groups are sorted by parent, so a parent's first child is where the parent changes.
        first = np.ones(len(going), np.bool_)
        first[1:] = going_parents[1:] != going_parents[:-1]
        orphaned = np.ones(len(self._rows), np.bool_)
        orphaned[going_parents] = False
        self._pool.give_back(self._rows.slot[orphaned])
        rows = children.at(going)
        divided = np.nonzero(~first)[0]
        if len(divided):
            slots = self._pool.take(len(divided))
            longest = int(rows.position[divided].max())
            length = -(-longest // BLOCK) * BLOCK
            self._pool.copy(rows.slot[divided], slots, length)
            rows.slot[divided] = slots
        renumbered = np.full(len(children), -1)
        renumbered[going] = np.arange(len(going))
        self._keep_members(renumbered[group_of])
        self._rows = rows

    def _keep_members(self, row: Int64) -> None:
        """Move every member to its new row; -1 leaves the batch."""
        kept = row >= 0
        self._members = Members(row[kept], self._members.choice[kept], self._members.stream[kept])


def _token_logprob(logits: Float32, token: int, top: int) -> TokenLogprob:
    """The log-probability of `token` and of the `top` likeliest tokens."""
    logprobs = sampling.log_probabilities(logits[None, :])[0]
    best = np.argsort(-logprobs, kind="stable")[:top].tolist()
    return TokenLogprob(
        token, float(logprobs[token]), tuple((other, float(logprobs[other])) for other in best)
    )
