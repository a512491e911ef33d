"""Our providers against servers that others wrote: do both sides mean the same?

    python benchmarks/dispatch_agree.py [--peers FOLDER]

The bundled model is behind every one of them, so that what it answers is known exactly:

litellm        its proxy passes OpenAI's protocol on to `orch serve`, and translates Anthropic's
transformers   `transformers serve` computes the same weights with torch

Each line is one thing asked through a peer's server and straight from ours, or one refusal by its
class. Peers come from the package index into environments of their own. Exits with 1 where
anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dispatch_peers import ROOT, free_port, install, version
from msgspec import structs

from providers.errors import ProviderError
from providers.registry import make_provider
from providers.sample import Provider, SampleRequest

KEY = "sk-a-key-of-our-own"
MODEL = "orch-tiny"
WEIGHTS = ROOT / "providers" / "tiny" / "model"
START_S = 240.0


def chat(content: str, **more: Any) -> SampleRequest:
    messages = ({"role": "user", "content": content},)
    return SampleRequest(**{"model": MODEL, "messages": messages, "max_tokens": 40} | more)


def raw(prompt: str, **more: Any) -> SampleRequest:
    return SampleRequest(**{"model": MODEL, "prompt": prompt, "max_tokens": 40} | more)


ASKED = {
    "chat": chat("12*34=", seed=7),
    "chat, n=3": chat("9+8=", n=3, seed=8),
    "raw prompt": raw("12*34=", seed=9),
    "raw prompt, n=4": raw("5+6=", n=4, seed=10),
    "cut off": raw("12*34=", max_tokens=1, seed=11),
    "stop sequence": raw("12*34=", stop=("0", "4"), seed=12),
    "too long": raw("12*34=", max_tokens=100),
}


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, env=os.environ | environment, cwd=log.parent
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def await_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once anything answers at `url`."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"nothing answers at {url}:\n{log.read_text(errors='replace')[-3000:]}")


class Bundled:
    """`orch serve`, straight."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        port = free_port()
        command = [sys.executable, "-m", "orchestrator", "serve", "--port", str(port)]
        log = folder / "orch-serve.log"
        process = stack.enter_context(running(command, log, PYTHONPATH=str(ROOT)))
        self.url = f"http://127.0.0.1:{port}/v1"
        await_answer(f"{self.url}/models", process, log)


def litellm_proxy(stack: ExitStack, python: Path, upstream: str, folder: Path) -> str:
    """The address of litellm's proxy in front of a server of ours."""
    port = free_port()
    settings = folder / "litellm.json"
    passed_on = {"model": f"openai/{MODEL}", "api_base": upstream, "api_key": "none"}
    raw = {**passed_on, "model": f"text-completion-openai/{MODEL}"}
    translated = {**passed_on, "model": f"hosted_vllm/{MODEL}"}
    settings.write_text(
        json.dumps(
            {
                "model_list": [
                    {"model_name": MODEL, "litellm_params": passed_on},
                    {"model_name": f"{MODEL}-raw", "litellm_params": raw},
                    {"model_name": f"{MODEL}-messages", "litellm_params": translated},
                ],
                "litellm_settings": {"num_retries": 0, "telemetry": False},
                "general_settings": {"master_key": KEY},
            }
        )
    )
    command = [str(python.parent / "litellm"), "--config", str(settings), "--host", "127.0.0.1"]
    log = folder / "litellm.log"
    process = stack.enter_context(
        running([*command, "--port", str(port)], log, LITELLM_LOCAL_MODEL_COST_MAP="True")
    )
    await_answer(f"http://127.0.0.1:{port}/health/liveliness", process, log)
    return f"http://127.0.0.1:{port}"


def transformers_server(stack: ExitStack, python: Path, folder: Path) -> str:
    """The address of `transformers serve`."""
    port = free_port()
    command = [str(python.parent / "transformers"), "serve", "--port", str(port), "--device", "cpu"]
    log = folder / "transformers.log"
    process = stack.enter_context(running(command, log, HF_HUB_OFFLINE="1"))
    await_answer(f"http://127.0.0.1:{port}/health", process, log)
    return f"http://127.0.0.1:{port}"


def ours(name: str, url: str, key: str | None = KEY) -> Provider:
    environ = {} if key is None else {"PEER_KEY": key}
    return make_provider(
        name, base_url=url, api_key_env="PEER_KEY" if key else None, environ=environ
    )


class Findings:
    """One line each; whether all were as they should be."""

    def __init__(self) -> None:
        self.fine = True

    def say(self, peer: str, what: str, found: object, wanted: object) -> None:
        same = found == wanted
        self.fine = self.fine and same
        print(f"{'agrees' if same else 'DIFFERS':8} {peer:13} {what}", flush=True)
        if not same:
            print(f"    found  {found}\n    wanted {wanted}")

    async def refused(
        self, peer: str, what: str, asked: Provider, request: SampleRequest, wanted: str
    ) -> None:
        found = await answer(asked, request)
        self.say(peer, what, found if isinstance(found, str) else "an answer", wanted)


async def answer(asked: Provider, request: SampleRequest) -> list[tuple[str, str]] | str:
    """Texts and finish reasons in order, and the tokens; or the error's class."""
    try:
        got = await asked.sample(request)
    except ProviderError as error:
        return type(error).__name__
    tokens = "no usage" if got.usage is None else (got.usage.prompt_tokens, got.usage.output_tokens)
    return [*((one.text, one.finish_reason) for one in got.choices), ("tokens", str(tokens))]


async def litellm_agrees(findings: Findings, proxy: str, straight: Provider) -> None:
    through = ours("compatible", f"{proxy}/v1")
    sdk = ours("openai", f"{proxy}/v1")
    for what, request in ASKED.items():
        wanted = await answer(straight, request)
        if request.prompt is None:
            for lane, asked in (("", through), (" through the SDK", sdk)):
                findings.say("litellm", what + lane, await answer(asked, request), wanted)
        else:
            named = structs.replace(request, model=f"{MODEL}-raw")
            findings.say("litellm", what, await answer(through, named), wanted)
    messages = ours("anthropic", proxy)
    wanted = await answer(straight, chat("12*34=", temperature=0.0))
    found = await answer(messages, chat("12*34=", temperature=0.0, model=f"{MODEL}-messages"))
    findings.say("litellm", "Anthropic's messages", found, wanted)
    findings.say("litellm", "list of models", MODEL in await through.models(), True)
    other = chat("12*34=", model="no-such-model")
    await findings.refused("litellm", "an unknown model", through, other, "UnknownModel")
    wrong = ours("compatible", f"{proxy}/v1", "sk-wrong")
    await findings.refused("litellm", "a wrong key", wrong, chat("12*34="), "AuthFailed")
    for asked in (through, sdk, messages, wrong):
        await asked.aclose()


async def transformers_agrees(findings: Findings, server: str, straight: Provider) -> None:
    asked = ours("compatible", f"{server}/v1", None)
    for content in ("12*34=", "9+8=", "123+456="):
        wanted = await answer(straight, chat(content, temperature=0.0))
        found = await answer(asked, chat(content, temperature=0.0, model=str(WEIGHTS)))
        findings.say("transformers", f"chat {content}", found, wanted)
    some = await asked.sample(chat("12*34=", n=3, model=str(WEIGHTS)))
    counted = len(some.choices) + len(some.missing)
    findings.say("transformers", f"n=3, of which {len(some.choices)} came", counted, 3)
    await asked.aclose()


async def compare(proxy: str, served: str, bundled: str) -> bool:
    findings = Findings()
    straight = ours("compatible", bundled, None)
    await litellm_agrees(findings, proxy, straight)
    await transformers_agrees(findings, served, straight)
    await straight.aclose()
    return findings.fine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers")
    folder = parser.parse_args().peers
    proxies = install(folder, "litellm-proxy")
    serving = install(folder, "transformers-serve")
    for python, package in ((proxies, "litellm"), (serving, "transformers"), (serving, "torch")):
        print(f"{package} {version(python, package)}")
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        here = Path(made)
        bundled = Bundled(stack, here).url
        proxy = litellm_proxy(stack, proxies, bundled, here)
        served = transformers_server(stack, serving, here)
        fine = asyncio.run(compare(proxy, served, bundled))
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
