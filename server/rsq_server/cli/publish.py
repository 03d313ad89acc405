"""`rsq-server publish`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.connection_options import server_endpoint
from rsq.reference import require_alias, require_model_name
from rsq_server.cli.models import print_version
from rsq_server.cli.options import Json, build_config
from rsq_server.cli.output import print_json
from rsq_server.cli.recipes import choose_recipes
from rsq_server.gates import Gates
from rsq_server.progress import ByteProgress
from rsq_server.recipes import DEFAULT_VARIANTS

if TYPE_CHECKING:
    from rsq_server.config import ServerConfig
    from rsq_server.publish import Files, PublishResult, Versions

EPILOG = """Examples:

rsq-server publish demo --name demo

rsq-server publish ./checkpoint --name git-rsclip-base --evaluation ./aid --alias production

rsq-server publish ./checkpoint --name git-rsclip-base --variants fp32,int8,my-recipes.toml

rsq-server publish ./checkpoint --name git-rsclip-base --min-top1 0.95 --max-recall-drop 0.005

rsq-server publish modelscope:lcybuaa/Git-RSCLIP-base --name git-rsclip-base

rsq-server publish ./checkpoint --name git-rsclip-base --server 10.0.0.5:7100

rsq-server publish hf:google/siglip-base-patch16-256 --name siglip --variants fp32,int8 --json"""

SETS = "a folder of images, of captions.jsonl or of Hugging Face's layout, or RSICD's JSON"


def publish(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder in Hugging Face layout, hf:ORG/NAME, modelscope:ORG/NAME, or demo.",
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="The model to add a version to.")],
    variants: Annotated[
        str,
        typer.Option(
            "--variants",
            help="Which to build, separated by commas: names that `rsq-server recipes` lists, "
            "TOML files of your own, or all.",
        ),
    ] = ",".join(DEFAULT_VARIANTS),
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            help=f"Images to calibrate on: {SETS}. Default: generated scenes.",
            metavar="PATH",
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            "--evaluation",
            help="Images, best with captions, to measure accuracy on; read as --calibration is. "
            "Default: generated scenes.",
            metavar="PATH",
        ),
    ] = None,
    min_top1: Annotated[
        float | None,
        typer.Option(
            "--min-top1", help="Refuse a variant whose best hit is FP32's for a smaller share."
        ),
    ] = None,
    max_recall_drop: Annotated[
        float | None,
        typer.Option(
            "--max-recall-drop",
            help="Refuse a variant whose recall@10 falls by more than this share.",
        ),
    ] = None,
    keep_rejected: Annotated[
        bool, typer.Option("--keep-rejected", help="Store what the gates refuse as well.")
    ] = False,
    alias: Annotated[
        str | None, typer.Option("--alias", help="Point this alias at the new version.")
    ] = None,
    source_key: Annotated[
        Path | None,
        typer.Option(
            "--source-key",
            help="The public key (PEM) that must have signed the source's model.sig.",
            metavar="FILE",
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            help="Build here and store at the server that runs there.",
            metavar="HOST:PORT",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Export, quantize, measure and store a checkpoint as a new version."""
    from rsq_server.cli.progress import show_progress

    # All this is checked first, since importing torch takes seconds.
    require_model_name(name)
    if alias is not None:
        require_alias(alias)
    recipes = choose_recipes(variants)
    gates = Gates(min_top1, max_recall_drop)
    config = build_config()
    with (
        show_progress() as shown,
        _open_destination(server, config, progress := ByteProgress(shown)) as (catalogue, blobs),
    ):
        from rsq_server.publish import PublishRequest
        from rsq_server.publish import publish as run_publish

        request = PublishRequest(
            source=source,
            name=name,
            work_folder=config.work_folder,
            recipes=tuple(recipes),
            calibration=calibration,
            evaluation=evaluation,
            alias=alias,
            gates=gates,
            keep_rejected=keep_rejected,
            journal_folder=config.journal_folder,
            source_key=source_key,
        )
        result = run_publish(request, catalogue=catalogue, blobs=blobs, progress=progress)
    if as_json:
        _print_json(result, gates)
    else:
        _print_result(result, gates, kept=keep_rejected)


@contextmanager
def _open_destination(
    server: str | None, config: ServerConfig, progress: ByteProgress
) -> Iterator[tuple[Versions, Files]]:
    if server is None:
        from rsq_server.app import open_stores

        with open_stores(config) as stores:
            yield stores.catalogue, stores.blobs
        return
    from rsq.rpc.publishing import PublishingClient
    from rsq_server.remote import RemoteRegistry

    with PublishingClient(server_endpoint(server)) as client:
        client.check_reachable()  # rather than after minutes of building
        remote = RemoteRegistry(client, on_bytes=progress.add_bytes)
        yield remote, remote


def _print_json(result: PublishResult, gates: Gates) -> None:
    from rsq_server.report import version_to_json

    print_json(
        {
            **version_to_json(result.version, gates),
            "refused": result.refused,
            "notes": list(result.notes),
            "bytes_stored": result.stored_bytes,
            "bytes_reused": result.reused_bytes,
        }
    )


def _print_result(result: PublishResult, gates: Gates, *, kept: bool) -> None:
    from rsq.units import format_size

    print_version(result.version, gates)
    print(
        f"Stored {format_size(result.stored_bytes)}; "
        f"{format_size(result.reused_bytes)} were there already."
    )
    for name, reason in result.refused.items():
        print(f"Refused{', and kept' if kept else ''}: {name}: {reason}", file=sys.stderr)
    for note in result.notes:
        print(f"Note: {note}", file=sys.stderr)
