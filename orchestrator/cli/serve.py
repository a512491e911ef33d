"""orch serve: Serve the bundled model over an OpenAI-compatible API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.cli.options import host_option


@click.command()
@host_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--bill",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append one JSON line per request to this file: the server's own bill.",
)
@click.option(
    "--model",
    help="Directory of another small Llama model with the same vocabulary; with --launch: any "
    "model that vLLM serves.",
)
@click.option("--model-name", help="The model's id in requests.")
@click.option("--launch", metavar="auto|N", help="Start so many servers and hold them until "
              "Ctrl-C, for runs with `--provider local --model NAME`.")  # fmt: skip
@click.option("--gpu-ids", default="", metavar="0,1,...", help="GPUs for --launch.")
@click.option("--tensor-parallel", default=1, metavar="T", help="GPUs for a copy of the model.")
@click.option("--data-parallel", default=1, metavar="D", help="Copies of the model in a server.")
@click.option("--server-arg", "server_args", multiple=True, metavar="ARGS",
              help="Further arguments of launched servers.")  # fmt: skip
@click.option("--vllm", default="", metavar="PATH", help="The vLLM to launch.")
def serve(
    host: str,
    port: int,
    bill: Path | None,
    model: str | None,
    model_name: str | None,
    launch: str | None,
    **given: Any,
) -> None:
    """Serve the bundled tiny model over HTTP until Ctrl-C, or hold a fleet (--launch).

    Once it listens it prints one JSON line that says where. Any OpenAI client can use the bundled
    model, with any key.
    """
    if launch:
        from orchestrator.session.holding import hold_fleet

        hold_fleet(model or "", launch, **given)
        return
    model_directory = None if model is None else Path(model)
    if model_directory is not None and not model_directory.is_dir():
        raise click.UsageError(
            f"--model {model} is no directory of a model; to serve one with vLLM, add --launch 1."
        )
    from providers.tiny.serve import run

    run(
        host=host,
        port=port,
        bill=bill,
        model_directory=model_directory,
        model_name=model_name,
    )
