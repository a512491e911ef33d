"""Bad requests: the status, and one sentence in OpenAI's shape that names the field."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

import openai
import pytest
from tiny_served import Served

CHAT = [{"role": "user", "content": "1+2="}]


def post(url: str, body: bytes, method: str = "POST") -> tuple[int, dict[str, Any]]:
    """Status and error of a request that must be refused."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(request):
        pass
    with refused.value as answer:
        assert answer.headers["Content-Type"].startswith("application/json")
        document = json.load(answer)
    assert document.keys() == {"error"}
    assert document["error"].keys() == {"message", "type", "param", "code"}
    return refused.value.code, document["error"]


COMPLETION_ERRORS: list[tuple[dict[str, Any], str, str]] = [
    ({"n": 0}, "n", "from 1 to 1024, but got 0"),
    ({"n": -3}, "n", "but got -3"),
    ({"n": 1025}, "n", "but got 1025"),
    ({"n": 1.5}, "n", "expected an integer, but got a number"),
    ({"n": "2"}, "n", "expected an integer, but got a string"),
    ({"n": True}, "n", "expected an integer, but got a boolean"),
    ({"n": 600, "prompt": ["1", "2"]}, "n", "at most 1024 choices in all prompts"),
    ({"temperature": -0.1}, "temperature", "from 0 to 2, but got -0.1"),
    ({"temperature": 2.1}, "temperature", "from 0 to 2, but got 2.1"),
    ({"temperature": 10**400}, "temperature", "from 0 to 2"),
    ({"temperature": "hot"}, "temperature", "expected a number, but got a string"),
    ({"top_p": 1.1}, "top_p", "from 0 to 1"),
    ({"top_p": []}, "top_p", "expected a number, but got an array"),
    ({"max_tokens": 0}, "max_tokens", "but got 0"),
    ({"max_tokens": 2.5}, "max_tokens", "expected an integer"),
    ({"stop": ""}, "stop", "strings that are not empty"),
    ({"stop": ["a"] * 5}, "stop", "at most 4 strings"),
    ({"stop": 7}, "stop", "expected a string or an array of strings, but got an integer"),
    ({"stop": ["a", None]}, "stop", "expected a string or an array of strings"),
    ({"seed": "x"}, "seed", "expected an integer"),
    ({"seed": 2**64}, "seed", "but got 18446744073709551616"),
    ({"stream": "yes"}, "stream", "expected a boolean"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "only allowed when 'stream'"),
    ({"logprobs": 6}, "logprobs", "from 0 to 5"),
    ({"logprobs": True}, "logprobs", "expected an integer"),
    ({"prompt": None}, "prompt", "Missing required parameter: 'prompt'"),
    ({"prompt": ""}, "prompt", "at least one token"),
    ({"prompt": []}, "prompt", "at least one token"),
    ({"prompt": {}}, "prompt", "but got an object"),
    ({"prompt": [1, "a"]}, "prompt", "but got an integer"),
    ({"prompt": [1, 32]}, "prompt", "token ids from 0 to 31"),
    ({"top_k": 5}, "top_k", "'top_k' is not supported"),
    ({"frequency_penalty": 0.5}, "frequency_penalty", "not supported"),
    ({"echo": True}, "echo", "not supported"),
    ({"best_of": 3}, "best_of", "Unrecognized request argument supplied: best_of"),
    ({"temprature": 1}, "temprature", "Unrecognized request argument supplied: temprature"),
    ({"model": None}, "model", "Missing required parameter: 'model'"),
    ({"model": 3}, "model", "expected a string"),
]


@pytest.mark.parametrize(("change", "param", "message"), COMPLETION_ERRORS)
def test_a_bad_completion_is_refused_by_name(
    served: Served, change: dict[str, Any], param: str, message: str
) -> None:
    body = {"model": served.model, "prompt": "1+2=", **change}
    status, error = post(f"{served.base_url}/completions", json.dumps(body).encode())
    assert status == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert message in error["message"]


CHAT_ERRORS: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": None}, "messages", "Missing required parameter: 'messages'"),
    ({"messages": []}, "messages", "at least one message"),
    ({"messages": "1+2="}, "messages", "expected an array of objects, but got a string"),
    ({"messages": ["1+2="]}, "messages[0]", "expected an object, but got a string"),
    ({"messages": [{"content": "1"}]}, "messages[0].role", "Missing"),
    ({"messages": [*CHAT, {"role": "oracle", "content": "1"}]}, "messages[1].role", "one of"),
    ({"messages": [{"role": ["user"], "content": "1"}]}, "messages[0].role", "one of"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "Missing"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "an integer"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages", "at least one token"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0]",
        "only text parts are supported",
    ),
    ({"top_logprobs": 2}, "top_logprobs", "only allowed when 'logprobs' is true"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "from 0 to 20"),
    ({"logprobs": 3}, "logprobs", "expected a boolean"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", "but got 0"),
    ({"prompt": "1+2="}, "prompt", "Unrecognized request argument supplied: prompt"),
    ({"tools": [{"type": "function"}]}, "tools", "not supported"),
    ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
]


@pytest.mark.parametrize(("change", "param", "message"), CHAT_ERRORS)
def test_a_bad_chat_is_refused_by_name(
    served: Served, change: dict[str, Any], param: str, message: str
) -> None:
    body = {"model": served.model, "messages": CHAT, **change}
    status, error = post(f"{served.base_url}/chat/completions", json.dumps(body).encode())
    assert status == 400
    assert error["param"] == param
    assert message in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model": "orch-tiny", "prompt": "1+2=",}',
        b'{"temperature": NaN}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_broken_json_is_refused(served: Served, body: bytes) -> None:
    status, error = post(f"{served.base_url}/completions", body)
    assert status == 400
    assert "could not parse the JSON body" in error["message"]


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"3"])
def test_json_that_is_no_object_is_refused(served: Served, body: bytes) -> None:
    status, error = post(f"{served.base_url}/completions", body)
    assert status == 400
    assert "must be a JSON object" in error["message"]


def test_an_unknown_model_is_404_and_the_models_are_listed(
    served: Served, client: openai.OpenAI
) -> None:
    for ask in (
        lambda: client.completions.create(model="gpt-nine", prompt="1"),
        lambda: client.chat.completions.create(model="gpt-nine", messages=CHAT),
        lambda: client.models.retrieve("gpt-nine"),
    ):
        with pytest.raises(openai.NotFoundError, match=served.model) as refused:
            ask()
        assert refused.value.code == "model_not_found"
        assert refused.value.param == "model"


def test_a_prompt_that_is_too_long_says_by_how_much(served: Served, client: openai.OpenAI) -> None:
    for more in ({"prompt": "1" * 64}, {"prompt": "1" * 60, "max_tokens": 5}):
        with pytest.raises(openai.BadRequestError, match="maximum context length is 64") as refused:
            client.completions.create(model=served.model, **more)  # type: ignore[call-overload]
        assert refused.value.code == "context_length_exceeded"
    message = [{"role": "user", "content": "1" * 70}]
    with pytest.raises(openai.BadRequestError, match="the prompt has 70") as refused:
        client.chat.completions.create(model=served.model, messages=message)
    assert refused.value.code == "context_length_exceeded"
    # The longest that fits is answered.
    fits = client.completions.create(model=served.model, prompt="1" * 60, max_tokens=4)
    assert fits.usage is not None
    assert fits.usage.prompt_tokens == 60


def test_the_officials_clients_exceptions(served: Served, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=served.model, messages=CHAT, temperature=-1)
    assert refused.value.param == "temperature"
    assert refused.value.type == "invalid_request_error"


def test_unknown_paths_methods_and_sizes(served: Served) -> None:
    assert post(f"{served.base_url}/embeddings", b"{}")[0] == 404
    assert post(f"{served.base_url}/completions", b"{}", method="PUT")[0] == 405
    status, error = post(f"{served.base_url}/completions", b" " * (2 << 20))
    assert status == 413
    assert "larger than" in error["message"]


def test_text_outside_the_vocabulary_is_unknown_tokens(
    served: Served, client: openai.OpenAI
) -> None:
    answer = client.completions.create(model=served.model, prompt="é漢😀\u0000", seed=1)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 4


def test_neutral_values_and_fields_about_the_caller_are_accepted(
    served: Served, client: openai.OpenAI
) -> None:
    client.chat.completions.create(
        model=served.model,
        messages=CHAT,
        user="somebody",
        frequency_penalty=0,
        presence_penalty=0.0,
        logit_bias={},
        stop=None,
        metadata={"run": "7"},
        extra_body={"top_k": -1, "best_of": 1},
    )


def spoken(served: Served, head: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    """Status and error of a request written by hand."""
    host, port = served.origin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
    first, _, rest = answer.partition(b"\r\n")
    assert b"Traceback" not in answer
    return int(first.split()[1]), json.loads(rest.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /v1/models HTTP/1.1\nConnection: close\nHost: evil.example", 403),
        ("GET /v1/models HTTP/1.1\nConnection: close\nHost: evil.example:8000", 403),
        ("GET /v1/models HTTP/1.1\nConnection: close\nHost: 127.0.0.1.evil.example", 403),
        ("POST /v1/completions HTTP/1.1\nConnection: close\nHost: localhost\n"
         "Content-Type: text/plain\nContent-Length: 2", 415),
        ("POST /v1/completions HTTP/1.1\nConnection: close\nHost: localhost\n"
         "Content-Length: 2", 415),
        ("GET /v1/models HTTP/1.1\nConnection: close\nHost: localhost\nX: " + "x" * 20000, 431),
        ("GET /" + "x" * 20000 + " HTTP/1.1\nConnection: close\nHost: localhost", 431),
        ("GET /v1/models HTTP/1.1\nConnection: close\nHost: localhost\nbroken header", 400),
        ("POST /v1/completions HTTP/1.1\nConnection: close\nHost: localhost\n"
         "Content-Type: application/json\nContent-Length: 3000000", 413),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_what_no_page_and_no_broken_client_may_ask(served, head, status):
    body = b"[" * 3_000_000 if "3000000" in head else b"{}" if "Length" in head else b""
    found, error = spoken(served, head, body)
    assert found == status and error["message"]


def test_addresses_and_own_names_may_ask(served):
    for host in ("localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8000", "192.168.1.7"):
        request = urllib.request.Request(f"{served.base_url}/models", headers={"Host": host})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
