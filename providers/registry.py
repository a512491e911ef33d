"""Makes a provider from its name: the table, the environment, and what the user said.

Raises ProviderConfigError (a ValueError) with one sentence for whatever cannot be set up. The key
rules are those of providers/keys.py: a provider's own key goes to that provider's hosts and
nowhere else, whether the address came from an argument or from the environment.

A name that the table does not have is looked up in the entry point group "orch.providers": a
callable with the keyword arguments of `make_provider`, returning a Provider.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from yarl import URL

from providers import known
from providers.bindings import Host
from providers.errors import ProviderConfigError
from providers.keys import Key, checked_url, is_loopback, read_key
from providers.known import Known
from providers.lane import FastLane, Lane
from providers.sample import Provider
from providers.transport import Timeouts, Transport

if TYPE_CHECKING:
    from providers.batch.base import BatchLane
    from providers.batch.client import BatchClient

GROUP = "orch.providers"
OWN_ADDRESS = "the default address"


def provider_names() -> list[str]:
    """Every name that make_provider takes."""
    names = {row.name for row in known.KNOWN} | set(known.ALIASES)
    return sorted(names | {point.name for point in entry_points(group=GROUP)})


def make_provider(
    name: str,
    *,
    base_url: str | None = None,
    api_key_env: str | None = None,
    model: str | None = None,
    timeouts: Timeouts | None = None,
    transport: Transport | None = None,
    environ: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Provider:
    """The provider called `name`, ready to sample; nothing is sent yet.

    `base_url`: another address than the provider's own (for `replay` a file will do).
    `api_key_env`: the variable that holds the key for that address; the caller must have it from
    the person at the keyboard, not from a file of unknown origin. `model`: decides what the API
    can do (reasoning models). `transport`: shared between providers, closed by whoever made it.
    `headers`: sent with every request, none of them a key. Raises ProviderConfigError.
    """
    environ = os.environ if environ is None else environ
    row = known.find(name)
    if row is None:
        for point in entry_points(group=GROUP, name=name):
            made: Provider = point.load()(
                base_url=base_url,
                api_key_env=api_key_env,
                model=model,
                timeouts=timeouts,
                transport=transport,
                environ=environ,
                **({"headers": headers} if headers else {}),
            )
            return made
        raise ProviderConfigError(
            f"there is no provider {name!r}; the known ones are {', '.join(provider_names())}"
        )
    if base_url is not None and _recorded(row, base_url):
        from providers.recording import Recording
        from providers.replay import ReplayProvider

        return ReplayProvider(Recording.load(Path(base_url)), model=model or "replay")
    url, source = _address(row, base_url, environ)
    key = _key(row, url, source, api_key_env, environ)
    variable = api_key_env or row.key_variable
    return _build(row, url, key, variable, model, timeouts, transport, headers)


def make_batches(
    name: str,
    *,
    base_url: str | None = None,
    api_key_env: str | None = None,
    model: str | None = None,
    timeouts: Timeouts | None = None,
    transport: Transport | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[BatchLane, BatchClient]:
    """The batch API of `name`, and the client to close afterwards; as make_provider."""
    from providers.batch.anthropic import AnthropicBatches
    from providers.batch.client import BatchClient
    from providers.batch.openai import OpenAIBatches

    row = known.find(name)
    if row is None or not row.capabilities.batch:
        able = [row.name for row in known.KNOWN if row.capabilities.batch]
        raise ProviderConfigError(
            f"provider {name!r} has no batch API that orch knows; {', '.join(able)} have one"
        )
    door = make_door(name, base_url=base_url, api_key_env=api_key_env, environ=environ)
    capabilities = row.capabilities_of(model)
    client = BatchClient(
        row.name,
        door.base_url,
        door.headers,
        key=door.key,
        key_variable=door.key_variable,
        timeouts=timeouts,
        transport=transport,
    )
    if row.protocol == "anthropic":
        return AnthropicBatches(client, capabilities), client
    return OpenAIBatches(client, capabilities, row.dialect_of(model)), client


@dataclass(frozen=True, slots=True)
class Door:
    """Where a provider's requests go and what lets them in, for callers with own bodies."""

    row: Known
    base_url: URL
    """Without a trailing slash; of OpenAI's protocol usually ending in /v1, of Anthropic's not."""
    headers: Mapping[str, str]
    """The key, where there is one, and the version of the API."""
    key: Key | None
    key_variable: str | None


def make_door(
    name: str,
    *,
    base_url: str | None = None,
    api_key_env: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Door:
    """The door of provider `name`; as make_provider."""
    from providers.openai import bearer

    environ = os.environ if environ is None else environ
    row = known.find(name)
    if row is None:
        raise ProviderConfigError(
            f"provider {name!r} is not one whose requests can be passed on; give one of "
            f"{', '.join(row.name for row in known.KNOWN)}"
        )
    url, source = _address(row, base_url, environ)
    key = _key(row, url, source, api_key_env, environ)
    if row.protocol == "anthropic":
        from providers.sdk import anthropic_headers

        url, headers = URL(str(url).removesuffix("/v1")), anthropic_headers(key)
    else:
        headers = bearer(key)
    return Door(row, url, headers, key, api_key_env or row.key_variable)


def host_of(
    name: str, base_url: str | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Host, bool] | None:
    """The host that `make_provider` would ask, and whether it is the provider's own.

    None where that is not known: a replayed file, and a provider of another package's that is
    given no address. Raises ProviderConfigError.
    """
    row = known.find(name)
    if row is None:
        return None if base_url is None else (Host.of(checked_url(base_url, "`base_url`")), False)
    if _recorded(row, base_url):
        return None
    url, source = _address(row, base_url, os.environ if environ is None else environ)
    return Host.of(url), source == OWN_ADDRESS or (bool(row.hosts) and at_home(row, url))


def key_variable(
    name: str,
    *,
    base_url: str | None = None,
    api_key_env: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> str | None:
    """The variable whose key `make_provider` would send along, None if none goes; as there."""
    environ = os.environ if environ is None else environ
    row = known.find(name)
    if row is None or _recorded(row, base_url):
        return api_key_env
    url, source = _address(row, base_url, environ)
    key = _key(row, url, source, api_key_env, environ)
    return None if key is None else key.variable


def _recorded(row: Known, base_url: str | None) -> bool:
    """Whether the address is a recording's file."""
    return row.name == "replay" and base_url is not None and "://" not in base_url


def home_of(host: Host) -> str | None:
    """The paid provider of the table whose own host this is, None if it is nobody's."""
    return next((row.name for row in known.KNOWN if host.name in row.hosts), None)


def _address(row: Known, base_url: str | None, environ: Mapping[str, str]) -> tuple[URL, str]:
    """The base URL and what to call its source in an error."""
    if base_url is not None:
        return checked_url(base_url, "`base_url`"), "`base_url`"
    if row.url_variable and environ.get(row.url_variable, "").strip():
        return checked_url(environ[row.url_variable], row.url_variable), row.url_variable
    if row.base_url is None:
        raise ProviderConfigError(
            f"provider {row.name!r} has no address of its own; give one as `base_url`"
        )
    return checked_url(row.base_url, row.name), OWN_ADDRESS


def at_home(row: Known, url: URL) -> bool:
    """Whether the key of `row` may be sent to `url`."""
    if row.hosts:
        return url.scheme == "https" and url.host in row.hosts and url.port == 443
    return is_loopback(url.host or "")


def _key(
    row: Known, url: URL, source: str, api_key_env: str | None, environ: Mapping[str, str]
) -> Key | None:
    variable = api_key_env or row.key_variable
    if api_key_env is not None:
        owner = known.owner_of(api_key_env)
        if owner is not None and owner.hosts and not at_home(owner, url):
            raise ProviderConfigError(
                f"{api_key_env} belongs to {_home(owner)} and is not sent to {url.host}; put the "
                "key for that host into a variable of its own"
            )
    elif not at_home(row, url):
        if row.key_needed and not is_loopback(url.host or ""):
            raise ProviderConfigError(
                f"{source} leads to {url.scheme}://{url.host}, where {variable} is not sent (it "
                f"belongs to {_home(row)}); bind that host's own key with `api_key_env` "
                f"VAR@{Host.of(url)}, or use `provider` compatible for a server without a key"
            )
        return None
    if variable is None:
        return None
    key = read_key(variable, environ)
    if key is None and (row.key_needed or api_key_env is not None):
        raise ProviderConfigError(
            f"{variable} is not set; put the key for {url.host} into it, or name another "
            "variable as `api_key_env`"
        )
    return key


def _home(row: Known) -> str:
    return f"https://{row.hosts[0]}" if row.hosts else "this machine"


def _build(
    row: Known,
    url: URL,
    key: Key | None,
    key_variable: str | None,
    model: str | None,
    timeouts: Timeouts | None,
    transport: Transport | None,
    headers: Mapping[str, str] | None,
) -> Provider:
    """Imports inside: an SDK takes more than a second to import and only its lane needs it."""
    capabilities = row.capabilities_of(model)
    lane: Lane
    if row.protocol == "anthropic":
        from providers.anthropic import AnthropicProvider
        from providers.sdk import anthropic_lane

        url = URL(str(url).removesuffix("/v1"))
        lane = anthropic_lane(url, key, timeouts=timeouts, transport=transport, headers=headers)
        return AnthropicProvider(
            row.name, lane, key=key, key_variable=key_variable, capabilities=capabilities
        )
    from providers.openai import OpenAIProvider, bearer

    if row.lane == "sdk":
        from providers.sdk import openai_lane

        lane = openai_lane(
            url,
            key,
            timeouts=timeouts,
            transport=transport,
            account=row.name == "openai" and at_home(row, url),
            headers=headers,
        )
    else:
        lane = FastLane(url, bearer(key), headers=headers, timeouts=timeouts, transport=transport)
    return OpenAIProvider(
        row.name,
        lane,
        key=key,
        key_variable=key_variable,
        capabilities=capabilities,
        dialect=row.dialect_of(model),
    )
