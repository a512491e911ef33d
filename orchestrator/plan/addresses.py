"""Where an arm's servers are, as far as anybody said."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from yarl import URL

from orchestrator.plan.study import Arm
from providers import known
from providers.errors import ProviderConfigError
from providers.fleet.addresses import ServersFile, split_urls


def urls_of(arm: Arm, environ: Mapping[str, str] = os.environ) -> list[URL]:
    """The addresses of an arm's servers, where there are several or a file names them.

    Empty: the arm has one server, which is no fleet. Raises ProviderConfigError.
    """
    if arm.servers:
        if arm.base_url:
            raise ProviderConfigError("give either --base-url or --servers, not both")
        urls = ServersFile(Path(arm.servers)).read()
        if not urls:
            raise ProviderConfigError(f"{arm.servers} names no server; put one URL on a line")
        return urls
    row = known.find(arm.provider)
    source, text = "--base-url", arm.base_url
    if not text and row is not None and row.url_variable:
        source, text = row.url_variable, environ.get(row.url_variable, "")
    return split_urls(text, source) if "," in text else []
