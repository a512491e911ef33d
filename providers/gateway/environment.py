"""What an agent's environment says: the gateway's addresses and key, and no provider's."""

from __future__ import annotations

from collections.abc import Mapping

from providers.known import KNOWN

PROVIDER_VARIABLES = frozenset(
    name for row in KNOWN for name in (row.key_variable, row.url_variable) if name
)


def environment(url: str, key: str, own: Mapping[str, str]) -> dict[str, str]:
    """`own` without the keys and addresses of providers, and with those of a gateway at `url`."""
    kept = {name: text for name, text in own.items() if name not in PROVIDER_VARIABLES}
    return {
        **kept,
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": key,
        "ORCH_GATEWAY_URL": url,
        "ORCH_GATEWAY_KEY": key,
    }
