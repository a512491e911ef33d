"""How an attempt is bought. Imports budgets only.

Names are loaded when first used, so that importing `providers` costs nothing.

>>> from providers import SampleRequest
>>> SampleRequest(model="m", prompt="1+1=", n=4).n
4
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from providers.errors import ProviderConfigError as ProviderConfigError
    from providers.errors import ProviderError as ProviderError
    from providers.registry import make_provider as make_provider
    from providers.registry import provider_names as provider_names
    from providers.sample import Capabilities as Capabilities
    from providers.sample import Choice as Choice
    from providers.sample import Provider as Provider
    from providers.sample import SampleRequest as SampleRequest
    from providers.sample import SampleResponse as SampleResponse
    from providers.sample import Sending as Sending
    from providers.transport import Timeouts as Timeouts

_HOMES = {
    "ProviderConfigError": "providers.errors",
    "ProviderError": "providers.errors",
    "make_provider": "providers.registry",
    "provider_names": "providers.registry",
    "Capabilities": "providers.sample",
    "Choice": "providers.sample",
    "Provider": "providers.sample",
    "SampleRequest": "providers.sample",
    "SampleResponse": "providers.sample",
    "Sending": "providers.sample",
    "Timeouts": "providers.transport",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'providers' has no attribute {name!r}")
