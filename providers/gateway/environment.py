"""What an agent's environment says: the gateway's addresses and key, and no provider's."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from providers.known import KNOWN

PROVIDER_VARIABLES = frozenset(
    name for row in KNOWN for name in (row.key_variable, row.url_variable) if name
)


def keyless(own: Mapping[str, str], bound: Collection[str] = ()) -> dict[str, str]:
    """`own` without the keys and addresses of providers.

    `bound`: the variables whose keys a person bound to hosts.
    """
    withheld = PROVIDER_VARIABLES | set(bound)
    return {name: text for name, text in own.items() if name not in withheld}


def environment(
    url: str, key: str, own: Mapping[str, str], bound: Collection[str] = ()
) -> dict[str, str]:
    """`own` as `keyless` leaves it, with the addresses and key of a gateway at `url`."""
    return {
        **keyless(own, bound),
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": key,
        "ORCH_GATEWAY_URL": url,
        "ORCH_GATEWAY_KEY": key,
    }
