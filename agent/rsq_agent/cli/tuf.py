"""`rsq-agent tuf init | refresh | download`: the client workflow over HTTP, in the form in which
the public conformance suite of The Update Framework calls a client. Any failure exits with 1."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from rsq.errors import BadInput

tuf = typer.Typer(
    help="Run the client workflow of The Update Framework over HTTP, for conformance tests.",
    no_args_is_help=True,
)


@tuf.callback()
def _options(
    context: typer.Context,
    metadata_dir: Annotated[
        Path, typer.Option("--metadata-dir", help="Where trusted metadata is kept.")
    ],
    metadata_url: Annotated[
        str | None, typer.Option("--metadata-url", help="Where the repository's metadata is.")
    ] = None,
    target_name: Annotated[
        str | None, typer.Option("--target-name", help="The target to download.")
    ] = None,
    target_base_url: Annotated[
        str | None, typer.Option("--target-base-url", help="Where its targets are.")
    ] = None,
    target_dir: Annotated[
        Path | None, typer.Option("--target-dir", help="Where verified targets go.")
    ] = None,
) -> None:
    context.obj = {
        "metadata_dir": metadata_dir,
        "metadata_url": metadata_url,
        "target_name": target_name,
        "target_base_url": target_base_url,
        "target_dir": target_dir,
    }


@tuf.command()
def init(
    context: typer.Context,
    root: Annotated[Path, typer.Argument(metavar="TRUSTED_ROOT")],
) -> None:
    """Start from this root. Asks nobody."""
    from rsq_agent.trust import http_client

    _run(lambda: http_client.init(context.obj["metadata_dir"], root))


@tuf.command()
def refresh(context: typer.Context) -> None:
    """Bring the metadata up to date."""
    from rsq_agent.trust import http_client

    _run(
        lambda: http_client.refresh(
            context.obj["metadata_dir"], _required(context, "metadata_url", "--metadata-url")
        )
    )


@tuf.command()
def download(context: typer.Context) -> None:
    """Download a target that the metadata lists."""
    from rsq_agent.trust import http_client

    _run(
        lambda: http_client.download(
            context.obj["metadata_dir"],
            _required(context, "metadata_url", "--metadata-url"),
            name=_required(context, "target_name", "--target-name"),
            base_url=_required(context, "target_base_url", "--target-base-url"),
            target_dir=_required(context, "target_dir", "--target-dir"),
        )
    )


def _required(context: typer.Context, key: str, option: str) -> str:
    value = context.obj[key]
    if value is None:
        raise BadInput(f"This command needs {option}.")
    return str(value)


def _run(action: Callable[[], None]) -> None:
    from rsq.errors import RsqError

    try:
        action()
    except RsqError as e:
        print(e.message, file=sys.stderr)
        raise typer.Exit(1) from e
