"""`rsq-server publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsq.reference import require_alias, require_model_name
from rsq_server.cli.models import print_version
from rsq_server.cli.options import Json, build_config
from rsq_server.cli.output import print_json

DEFAULT_VARIANTS = "fp32,fp16,int8"
EPILOG = """Examples:

rsq-server publish demo --name demo

rsq-server publish ./checkpoint --name git-rsclip-base --evaluation ./aid --alias production

rsq-server publish modelscope:lcybuaa/Git-RSCLIP-base --name git-rsclip-base

rsq-server publish hf:google/siglip-base-patch16-256 --name siglip --variants fp32,int8 --json"""


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
        str, typer.Option("--variants", help="Which to build, separated by commas.")
    ] = DEFAULT_VARIANTS,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            help="Images for recipes that calibrate; those of today need none.",
            metavar="DIR",
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            "--evaluation",
            help="Images, best with captions.jsonl, to measure accuracy on. Default: generated.",
            metavar="DIR",
        ),
    ] = None,
    alias: Annotated[
        str | None, typer.Option("--alias", help="Point this alias at the new version.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Export, quantize, measure and store a checkpoint as a new version."""
    from rsq_server.app import open_stores
    from rsq_server.cli.progress import show_progress

    # Checked here too, since importing torch takes seconds.
    require_model_name(name)
    if alias is not None:
        require_alias(alias)
    config = build_config()
    with show_progress() as progress:
        from rsq_server.publish import PublishRequest
        from rsq_server.publish import publish as run_publish

        request = PublishRequest(
            source=source,
            name=name,
            work_folder=config.work_folder,
            variants=tuple(item.strip() for item in variants.split(",") if item.strip()),
            calibration=calibration,
            evaluation=evaluation,
            alias=alias,
        )
        with open_stores(config) as stores:
            result = run_publish(
                request, catalogue=stores.catalogue, blobs=stores.blobs, progress=progress
            )
    if as_json:
        from rsq_server.report import version_to_json

        moved = {"bytes_stored": result.stored_bytes, "bytes_reused": result.reused_bytes}
        print_json({**version_to_json(result.version), **moved})
        return
    from rsq.units import format_size

    print_version(result.version)
    print(
        f"Stored {format_size(result.stored_bytes)}; "
        f"{format_size(result.reused_bytes)} were there already."
    )
