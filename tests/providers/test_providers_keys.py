"""Keys go home only: what the registry refuses, and what really leaves over the wire."""

from __future__ import annotations

import asyncio
import base64
import pickle
import ssl

import pytest
from scripted_server import Exchange, always, chat_answer, message_answer, serving

from providers import errors
from providers.errors import ProviderConfigError
from providers.keys import Key
from providers.known import KNOWN
from providers.registry import make_batches, make_provider, provider_names
from providers.sample import SampleRequest

ASK = ({"role": "user", "content": "6 times 7?"},)
SECRET = "qwertyuiop-very-secret"
ALL_KEYS = {row.key_variable: SECRET for row in KNOWN if row.key_variable}


def refused(name, **given) -> str:
    with pytest.raises(ProviderConfigError) as caught:
        make_provider(name, **({"environ": ALL_KEYS} | given))
    assert isinstance(caught.value, ValueError)
    text = str(caught.value)
    assert SECRET not in text
    assert "\n" not in text
    return text


def test_an_unknown_name_lists_the_known_ones():
    text = refused("opneai")
    assert "'opneai'" in text
    for name in ("openai", "anthropic", "deepseek", "openrouter", "vllm", "local", "compatible"):
        assert name in text
        assert name in provider_names()


def test_a_missing_key_names_its_variable():
    assert "OPENAI_API_KEY" in refused("openai", environ={})
    assert "ANTHROPIC_API_KEY" in refused("anthropic", environ={"ANTHROPIC_API_KEY": "  "})
    assert "MY_KEY" in refused("openai", base_url="https://h.example/v1", api_key_env="MY_KEY")


@pytest.mark.parametrize("row", [row for row in KNOWN if row.hosts], ids=lambda row: row.name)
def test_a_default_key_never_goes_to_another_host(row):
    elsewhere = "https://collector.example/v1"
    assert row.key_variable in refused(row.name, base_url=elsewhere)
    assert row.key_variable in refused(
        row.name, environ={row.key_variable: SECRET, row.url_variable: elsewhere}
    )
    for name in (row.name, "compatible", "vllm", "openai"):
        text = refused(name, base_url=elsewhere, api_key_env=row.key_variable)
        assert f"{row.key_variable} belongs to" in text
    assert row.key_variable in refused(row.name, base_url=f"http://{row.hosts[0]}/v1")
    assert row.key_variable in refused(row.name, base_url=f"https://{row.hosts[0]}:444/v1")
    assert row.key_variable in refused(row.name, base_url=f"https://{row.hosts[0]}.evil.example/v1")


@pytest.mark.parametrize("row", [row for row in KNOWN if row.base_url], ids=lambda row: row.name)
async def test_every_row_makes_a_provider_that_hides_its_key(row):
    made = make_provider(row.name, model="some-model", environ=ALL_KEYS)
    assert made.name == row.name
    assert SECRET not in repr(made)
    await made.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "https://user:password1@api.openai.com/v1",
        "https://token1@host.example/v1",
        "localhost:8000",
        "ftp://host.example",
        "http://",
        "http://[::1",
        "http://host.example/v1?key=password1",
        "http://host.example/v1#password1",
        "http://host.example:99999/v1",
        "",
    ],
)
def test_strange_urls_are_refused_without_quoting_them(url):
    for name, environ in (("compatible", {}), ("vllm", {"VLLM_BASE_URL": url})):
        if name == "vllm" and not url:
            continue
        given = {} if name == "vllm" else {"base_url": url}
        text = refused(name, environ=environ, **given)
        assert "password1" not in text
        assert "token1" not in text


@pytest.mark.parametrize("text", ["two words", "line\nbreak", "schlüssel"])
def test_keys_that_cannot_stand_in_a_header(text):
    assert "OPENAI_API_KEY" in refused("openai", environ={"OPENAI_API_KEY": text})


def test_a_key_does_not_show_itself():
    key = Key(SECRET, "OPENAI_API_KEY")
    assert SECRET not in f"{key} {key!r} {[key]}"
    with pytest.raises(TypeError):
        pickle.dumps(key)


async def test_loopback_needs_no_key_and_gets_none_of_the_providers():
    for name, body in (("openai", chat_answer()), ("anthropic", message_answer())):
        async with serving(always(200, body)) as server:
            made = make_provider(name, base_url=server.url, environ=ALL_KEYS)
            await made.sample(SampleRequest("m", messages=ASK))
            await made.aclose()
        assert not {"authorization", "x-api-key"} & set(server.requests[0].headers)


async def test_the_environments_address_is_used_without_the_providers_key():
    async with serving(always(200, chat_answer())) as server:
        environ = ALL_KEYS | {"OPENAI_BASE_URL": server.url, "VLLM_BASE_URL": server.url}
        for name in ("openai", "vllm", "local"):
            made = make_provider(name, environ=environ)
            await made.sample(SampleRequest("m", messages=ASK))
            await made.aclose()
    keys = [request.headers.get("authorization") for request in server.requests]
    assert keys == [None, f"Bearer {SECRET}", f"Bearer {SECRET}"]


async def test_an_sdk_takes_nothing_along_from_the_environment(monkeypatch):
    for variable in ("ANTHROPIC_AUTH_TOKEN", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(variable, SECRET)
    for variable in ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"):
        monkeypatch.setenv(variable, f"X-Secret: {SECRET}")
    for name, body in (("openai", chat_answer()), ("anthropic", message_answer())):
        async with serving(always(200, body)) as server:
            made = make_provider(
                name, base_url=server.url, api_key_env="MINE", environ={"MINE": "my-own-key"}
            )
            await made.sample(SampleRequest("m", messages=ASK))
            await made.aclose()
        assert SECRET not in str(server.requests[0].headers)
        assert "my-own-key" in str(server.requests[0].headers)


@pytest.mark.parametrize("name", ["compatible", "openai", "anthropic"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(name, status):
    async with serving(always(200, chat_answer())) as thief:
        headers = {"Location": f"{thief.url}/chat/completions"}
        async with serving(always(status, b"", headers)) as server:
            made = make_provider(
                name, base_url=server.url, api_key_env="MINE", environ={"MINE": SECRET}
            )
            with pytest.raises(errors.Fatal, match="redirects to"):
                await made.sample(SampleRequest("m", messages=ASK))
            await made.aclose()
    assert len(server.requests) == 1
    assert thief.connections == 0


@pytest.mark.parametrize("name", ["compatible", "openai"])
async def test_proxies_come_from_the_environment(name, monkeypatch):
    """A plain proxy gets the whole URL; loopback servers are asked directly all the same."""
    async with (
        serving(always(200, chat_answer())) as proxy,
        serving(always(200, chat_answer())) as direct,
    ):
        for variable in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
            monkeypatch.delenv(variable, raising=False)
            monkeypatch.delenv(variable.upper(), raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "inside.example")
        environ = {"MINE": "my-own-key"}
        for url in ("http://models.example/v1", direct.url):
            made = make_provider(name, base_url=url, api_key_env="MINE", environ=environ)
            await made.sample(SampleRequest("m", messages=ASK))
            await made.aclose()
        made = make_provider(
            name, base_url="http://inside.example/v1", api_key_env="MINE", environ=environ
        )
        with pytest.raises(errors.ConnectionFailed):
            await made.sample(SampleRequest("m", messages=ASK))
        await made.aclose()
    assert [r.path for r in proxy.requests] == ["http://models.example/v1/chat/completions"]
    assert [r.path for r in direct.requests] == ["/v1/chat/completions"]


async def test_netrc_is_not_read(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with serving(always(200, chat_answer())) as server:
        made = make_provider("compatible", base_url=server.url, environ={})
        await made.sample(SampleRequest("m", messages=ASK))
        await made.aclose()
    assert "authorization" not in server.requests[0].headers


@pytest.fixture
def self_signed(self_signed_pair):
    """A server context whose certificate nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed_pair)
    return context


@pytest.mark.parametrize("name", ["compatible", "openai", "anthropic"])
async def test_certificates_are_checked(name, self_signed):
    body = message_answer() if name == "anthropic" else chat_answer()
    environ = {"MINE": SECRET}
    async with serving(always(200, body), tls=self_signed) as server:
        made = make_provider(name, base_url=server.url, api_key_env="MINE", environ=environ)
        with pytest.raises(errors.ConnectionFailed, match="certificate") as caught:
            await made.sample(SampleRequest("m", messages=ASK))
        await made.aclose()
        assert caught.value.sent == "not_sent"
        assert server.requests == []


async def test_a_wrong_key_without_one_set_says_what_to_do():
    async with serving(always(401, {"error": {"message": "who are you"}})) as server:
        made = make_provider("compatible", base_url=server.url, environ={})
        with pytest.raises(errors.AuthFailed, match="api_key_env"):
            await made.models()
        await made.aclose()


async def test_a_key_that_a_server_repeats_is_not_shown():
    async def script(exchange: Exchange) -> None:
        wrong = f"bad header {exchange.headers['authorization']}"
        await exchange.answer(401, {"error": {"message": wrong}})

    async with serving(script) as server:
        made = make_provider(
            "compatible", base_url=server.url, api_key_env="MINE", environ={"MINE": SECRET}
        )
        with pytest.raises(errors.AuthFailed) as caught:
            await made.sample(SampleRequest("m", messages=ASK))
        await made.aclose()
    assert SECRET not in str(caught.value)
    assert "MINE" in str(caught.value)


def test_only_some_providers_have_batches():
    with pytest.raises(ProviderConfigError, match="openai, anthropic"):
        make_batches("deepseek", environ=ALL_KEYS)
    with pytest.raises(ProviderConfigError, match="OPENAI_API_KEY"):
        make_batches("openai", base_url="https://collector.example/v1", environ=ALL_KEYS)


async def test_other_packages_may_add_providers(monkeypatch, tmp_path):
    package = tmp_path / "more_models-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: more-models\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[orch.providers]\nmore = more_models:make\n")
    (tmp_path / "more_models.py").write_text(
        "from providers.registry import make_provider\n"
        "def make(**given):\n"
        "    given['base_url'] = 'http://127.0.0.1:9/v1'\n"
        "    return make_provider('compatible', **given)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    made = make_provider("more", environ={})
    assert "127.0.0.1:9" in repr(made)
    await made.aclose()
    assert "more" in provider_names()
    await asyncio.sleep(0)


LONG = "sk-test-" + "Q7vN2xLpT9aZ4cHs8KdW1mRy6BfG3jUe"


def echoes() -> dict[str, str]:
    coded = base64.b64encode(f"Authorization: Bearer {LONG}".encode()).decode()
    return {
        "whole": f"your key {LONG} is odd",
        "cut": f"your key {LONG[:20]}",
        "its end": f"your key ...{LONG[-12:]}.",
        "in base64": f"you sent {coded}",
        "cut where a message is cut": "x" * 285 + LONG,
        "cut where a body was cut": "x" * 1990 + LONG,
        "shifted base64": base64.urlsafe_b64encode(f"??>{LONG}".encode()).decode(),
    }


@pytest.mark.parametrize("how", list(echoes()))
@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_a_key_that_a_server_echoes_is_taken_out(how, status):
    said = echoes()[how]
    body = chat_answer()
    body["choices"][0]["message"]["content"] = body["usage"]["said"] = said
    body = body if status == 200 else said.encode()
    forms = {LONG, base64.b64encode(LONG.encode()).decode()}
    async with serving(always(status, body)) as server:
        made = make_provider(
            "compatible", base_url=server.url, api_key_env="MINE", environ={"MINE": LONG}
        )
        try:
            answer = await made.sample(SampleRequest("m", messages=ASK))
            text = answer.choices[0].text + str(answer.usage_raw)
        except errors.ProviderError as error:
            text = str(error)
        await made.aclose()
    for form in forms:
        for start in range(len(form) - 12):
            assert form[start : start + 12] not in text, text
