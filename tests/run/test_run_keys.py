"""Keys go home only: which key really reaches which server, and what strangers' files steer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from keyed import Keyed, keyed_server

SECRET = "corp-secret-0123456789"
OURS = {"CORP_KEY": SECRET, "OTHER_KEY": "other-secret-0123456789"}
ONE = ["--limit", "1", "--samples", "1", "--display", "none", "--name", "r"]


@pytest.fixture
def server():
    with keyed_server() as one:
        yield one


@pytest.fixture
def thief():
    with keyed_server() as one:
        yield one


def study(tmp_path: Path, *servers: Keyed, more: str = "", arm: str = 'gpu_hour = "0"') -> str:
    (tmp_path / "t.jsonl").write_text('{"id": "a", "prompt": "2+2=", "answer": "4"}\n')
    arms = "".join(
        f'[[arms]]\nprovider = "compatible"\nmodel = "some-model"\ntask = "t.jsonl"\n'
        f'base_url = "{one.url}"\n{arm}\n'
        for one in servers
    )
    (tmp_path / "s.toml").write_text(f"[study]\n{more}\n{arms}")
    return "s.toml"


def nobody_got_it(*servers: Keyed) -> bool:
    return all(OURS["CORP_KEY"] not in key for one in servers for key in one.keys)


def test_an_address_from_dotenv_gets_nothing(orch, thief, tmp_path):
    (tmp_path / ".env").write_text(f"ORCH_BASE_URL={thief.url}\nOPENAI_BASE_URL={thief.url}\n")
    study(tmp_path)
    ended = orch(
        "run", "--provider", "compatible", "--model", "some-model", "--task", "t.jsonl",
        "--gpu-hour", "0", "--api-key-env", "CORP_KEY", *ONE, **OURS,
    )  # fmt: skip
    assert ended.code == 2
    assert thief.keys == set()
    assert "ORCH_BASE_URL" in ended.err and "OPENAI_BASE_URL" in ended.err
    assert SECRET not in ended.err


def test_dotenv_steers_nothing_but_gives_keys(orch, tmp_path):
    (tmp_path / ".env").write_text(
        "ORCH_PRICES=p.toml\nORCH_OUT=elsewhere\nORCH_PROVIDER=local\nORCH_BUDGET=5000\n"
        "OPENAI_API_KEY=sk-of-dotenv-0123456789\nHTTPS_PROXY=http://127.0.0.1:9\n"
    )
    ended = orch("doctor")
    assert "OPENAI_API_KEY" in ended.out and "sk-of-dotenv" not in ended.out + ended.err
    ended = orch("run", "--samples", "1")
    assert ended.code == 2 and "--provider" in ended.err
    assert not (tmp_path / "elsewhere").exists()


def test_a_study_that_names_the_host_gets_no_key_that_names_none(orch, thief, tmp_path):
    file = study(tmp_path, thief)
    for env, flags in (({}, ["--api-key-env", "CORP_KEY"]), ({"ORCH_API_KEY_ENV": "CORP_KEY"}, [])):
        ended = orch("run", file, *flags, *ONE, **OURS, **env)
        assert ended.code == 2 and thief.keys == set()
        assert "CORP_KEY@http://127.0.0.1:" in ended.err


def test_two_hosts_never_share_a_key_that_names_none(orch, server, thief, tmp_path):
    ended = orch("run", study(tmp_path, server, thief), "--api-key-env", "CORP_KEY", *ONE, **OURS)
    assert ended.code == 2 and server.keys == thief.keys == set()
    assert "2 are asked" in ended.err


def test_each_host_gets_its_own_key_and_no_other(orch, server, thief, tmp_path):
    file = study(tmp_path, server, thief)
    bound = ["--api-key-env", f"CORP_KEY@{server.url}"]
    ended = orch("run", file, *bound, *ONE, **OURS)
    assert ended.code == 0, ended.err
    assert server.keys == {f"Bearer {SECRET}"} and thief.keys == {""}
    assert f"asked at {server.url.removesuffix('/v1')} with the key in CORP_KEY" in ended.err
    assert f"asked at {thief.url.removesuffix('/v1')} with no key" in ended.err
    bound += ["--api-key-env", f"OTHER_KEY@{thief.url}"]
    assert orch("run", file, *bound, *ONE[:-1], "again", **OURS).code == 0
    assert thief.keys == {"", f"Bearer {OURS['OTHER_KEY']}"}
    assert server.keys == {f"Bearer {SECRET}"}


def test_a_host_typed_on_the_command_line_needs_no_more(orch, server, tmp_path):
    study(tmp_path)
    ended = orch(
        "run", "--provider", "compatible", "--model", "some-model", "--task", "t.jsonl",
        "--base-url", server.url, "--gpu-hour", "0", "--api-key-env", "CORP_KEY", *ONE, **OURS,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert server.keys == {f"Bearer {SECRET}"}


def test_a_resumed_run_needs_the_host_again(orch, server, tmp_path):
    file = study(tmp_path, server)
    bound = ["--api-key-env", f"CORP_KEY@{server.url}"]
    assert orch("run", file, *bound, *ONE, **OURS).code == 0
    again = ["run", "--resume", "r", "--samples", "2"]
    assert orch(*again, "--api-key-env", "CORP_KEY", **OURS).code == 2
    assert orch(*again, *bound, **OURS).code == 0
    assert server.keys == {f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("CORP_KEY@https://127.0.0.1:{port}", "no arm asks"),
        ("CORP_KEY@http://127.0.0.1", "no arm asks"),
        ("CORP_KEY@", "VAR"),
        ("@http://127.0.0.1", "name of a variable"),
        ("sk-secret-key-itself", "name of a variable"),
        ("CORP_KEY@ftp://127.0.0.1", "not an http"),
        ("CORP_KEY@http://user:pw@127.0.0.1", "credentials"),
        ("ABSENT_KEY@http://127.0.0.1:{port}", "ABSENT_KEY is not set"),
    ],
)
def test_bindings_that_fit_no_host_are_refused(given, said, orch, server, tmp_path):
    port = server.url.removesuffix("/v1").rsplit(":", 1)[1]
    flags = ["--api-key-env", given.format(port=port)]
    ended = orch("run", study(tmp_path, server), *flags, *ONE, **OURS)
    assert ended.code == 2 and server.keys == set()
    if "VAR" not in said:
        assert said in ended.err
    assert "sk-secret" not in ended.err


def priced(tmp_path: Path, model: str, dollars: str) -> None:
    (tmp_path / "p.toml").write_text(
        f'[models."{model}"]\ninput = "{dollars}"\noutput = "{dollars}"\n'
    )


def test_a_price_below_the_published_one_is_named_on_the_command_line(orch, tmp_path):
    with keyed_server("gpt-4o") as server:
        priced(tmp_path, "gpt-4o", "0.01")
        file = study(tmp_path, server, more='prices = "p.toml"\nbudget = "0.01"', arm="")
        text = (tmp_path / file).read_text().replace("some-model", "gpt-4o")
        (tmp_path / file).write_text(text.replace("compatible", "openai"))
        for flags, env in (
            ([], {}),
            (["--yes"], {}),
            ([], {"ORCH_PRICES": "p.toml", "ORCH_YES": "1"}),
        ):
            ended = orch("run", file, *flags, *ONE, **env)
            assert ended.code == 2, ended.err
            assert "p.toml" in ended.err and "--prices" in ended.err and "at $10" in ended.err
            assert server.answered == 0
        ended = orch("run", file, "--prices", "p.toml", *ONE)
        assert ended.code == 0, ended.err
        assert server.answered == 1
        assert "$0.01 in, $0.01 out per million, by " in ended.err
        assert "less than a tenth" in ended.err


def test_a_dearer_price_and_one_that_nobody_publishes_need_no_word(orch, tmp_path):
    for number, (model, dollars) in enumerate((("gpt-4o", "50"), ("my-own", "0.01"))):
        with keyed_server(model) as server:
            priced(tmp_path, model, dollars)
            file = study(tmp_path, server, more='prices = "p.toml"', arm="")
            text = (tmp_path / file).read_text().replace("some-model", model)
            (tmp_path / file).write_text(text.replace("compatible", "openai"))
            ended = orch("run", file, *ONE[:-1], f"r{number}")
            assert ended.code == 0, ended.err


def test_a_study_cannot_price_a_paid_host_by_the_hour(orch, tmp_path):
    for address in ("", 'base_url = "https://api.openai.com/v1"'):
        (tmp_path / "t.jsonl").write_text(json.dumps({"id": "a", "prompt": "p", "answer": "1"}))
        (tmp_path / "s.toml").write_text(
            f'[[arms]]\nprovider = "openai"\nmodel = "gpt-4o"\ntask = "t.jsonl"\ngpu_hour = "0"\n'
            f"{address}\n"
        )
        ended = orch("run", "s.toml", *ONE, OPENAI_API_KEY="sk-0123456789abcdef")
        assert ended.code == 2 and "bills tokens" in ended.err
