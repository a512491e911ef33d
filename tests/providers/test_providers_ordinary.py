"""Answers read the ordinary way are what the way of every other answer makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers import openai_answer
from providers.errors import ProviderError
from providers.refusals import Asked
from providers.sample import SampleRequest
from tests.hostile.made import Made
from tests.hostile.odd import SHAPES
from tests.hostile.shapes import Answer, openai_body

ASKED = Asked("vllm", "host", None, None, "hostile", "/chat/completions")
HEADERS = {"content-type": "application/json"}


def read(body: bytes, request: SampleRequest) -> Any:
    """What is read of a body: the answer, or its error in full."""
    try:
        return openai_answer.read_response(body, request, HEADERS, ASKED)
    except ProviderError as error:
        told = (error.sent, error.status, error.retry_after_s, getattr(error, "answer", None))
        return type(error), str(error), told


def both_ways(body: bytes, request: SampleRequest) -> bool:
    """Hold both ways to the same answer; returns whether the ordinary one was taken."""
    taken = []
    ordinary = openai_answer._ordinary
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_answer, "_ordinary", lambda *_: None)
        other = read(body, request)
        patch.setattr(
            openai_answer, "_ordinary", lambda *a: taken.append(ordinary(*a)) or taken[-1]
        )
        assert read(body, request) == other, body
    return bool(taken and taken[-1] is not None)


def document(n: int, finish: str = "stop", *, chat: bool = True) -> dict[str, Any]:
    texts = tuple(f"six sevens, so it is\n{index}" for index in range(n))
    return openai_body(Answer(1, "hostile", texts, finish, 100, 200 * n), chat)


@pytest.mark.parametrize("name", SHAPES)
def test_every_odd_shape_is_read_alike(name: str) -> None:
    for n in (1, 2, 3):
        made = Made({**document(n), "plain_usd": 0.0033})
        SHAPES[name].change(made)
        for wanted in (1, 2, 3):
            both_ways(made.encoded(), SampleRequest("hostile", messages=(), n=wanted))


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize("chat", [True, False])
def test_the_usual_answer_takes_the_ordinary_way(finish: str, chat: bool) -> None:
    for n in (1, 3):
        body = json.dumps(document(n, finish, chat=chat)).encode()
        assert both_ways(body, SampleRequest("hostile", messages=(), n=n))
        assert not both_ways(body, SampleRequest("hostile", messages=(), n=n, stop=("sevens",)))


odd_values = st.sampled_from(
    [None, "", " ", "text", "refusal", "stop", "length", "abort", "cut off", "error", 0, 1, 2, -1,
     0.0, True, [], ["a"], {}, {"code": 429}, {"message": "overloaded", "code": 503}]
)  # fmt: skip
choices = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.sampled_from([0, 0, 1, 2, None, -1, "0"]),
            "message": st.fixed_dictionaries(
                {},
                optional={"content": odd_values, "refusal": odd_values, "reasoning": odd_values},
            ),
            "text": odd_values,
            "finish_reason": st.sampled_from(["stop", "length", "STOP", "abort", "", None, "word"]),
            "native_finish_reason": odd_values,
            "error": odd_values,
            "logprobs": odd_values,
        },
    ),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(choices=choices, error=odd_values, n=st.integers(1, 3), stop=st.booleans())
def test_whatever_a_choice_holds_is_read_alike(
    choices: list[dict[str, Any]], error: Any, n: int, stop: bool
) -> None:
    said = {**document(1), "choices": choices}
    request = SampleRequest("hostile", messages=(), n=n, stop=("t",) if stop else ())
    both_ways(json.dumps(said).encode(), request)
    both_ways(json.dumps({**said, "error": error}).encode(), request)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), n=st.integers(1, 3))
def test_one_odd_field_of_a_usual_answer_is_read_alike(data: st.DataObject, n: int) -> None:
    said = document(n, data.draw(st.sampled_from(["stop", "length"])))
    place = data.draw(st.integers(0, n - 1))
    field = data.draw(st.sampled_from(["index", "text", "finish_reason", "error", "logprobs"]))
    said["choices"][place][field] = data.draw(odd_values)
    both_ways(json.dumps(said).encode(), SampleRequest("hostile", messages=(), n=n))
