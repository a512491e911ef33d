"""`orch serve`: the bundled model as an OpenAI-compatible server."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
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
    "model_directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of another small Llama model with the same vocabulary.",
)
@click.option("--model-name", help="The model's id in requests.")
def serve(
    host: str,
    port: int,
    bill: Path | None,
    model_directory: Path | None,
    model_name: str | None,
) -> None:
    """Serve the bundled tiny model over HTTP until Ctrl-C.

    Once it listens it prints one JSON line that says where. Any OpenAI client can use it, with
    any key.
    """
    from providers.tiny.serve import run

    run(
        host=host,
        port=port,
        bill=bill,
        model_directory=model_directory,
        model_name=model_name,
    )
