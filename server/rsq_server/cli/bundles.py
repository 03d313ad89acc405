"""`rsq-server export` and `rsq-server import`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsq.errors import BadInput
from rsq_server.cli.options import Json, build_config
from rsq_server.cli.output import print_json
from rsq_server.cli.progress import show_bar

if TYPE_CHECKING:
    from rsq.version_files import VersionSource
    from rsq_server.bundles import ImportedVersion

EXPORT_EPILOG = """Examples:

rsq-server export git-rsclip-base

rsq-server export git-rsclip-base:3 -o model.rsq --variants int8,fp16 --tower vision

rsq-server export git-rsclip-base@production --oci ./layout"""

IMPORT_EPILOG = """Examples:

rsq-server import git-rsclip-base-3.rsq --alias production

rsq-server import ./layout

rsq-server import model.rsq --name git-rsclip-vision"""


def export(
    reference: Annotated[str, typer.Argument(metavar="NAME", help="NAME, NAME:3 or NAME@alias.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The bundle to write. Default: NAME-VERSION.rsq.",
            metavar="FILE",
        ),
    ] = None,
    oci: Annotated[
        Path | None,
        typer.Option(
            "--oci", help="Write an OCI image layout instead, or add to one.", metavar="FOLDER"
        ),
    ] = None,
    variants: Annotated[
        str | None,
        typer.Option("--variants", help="Take only these, separated by commas. Default: all."),
    ] = None,
    tower: Annotated[
        str | None, typer.Option("--tower", help="Take only this tower: vision or text.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a version with its files and records to one file, or to a folder for OCI registries."""
    from rsq.bundle_writer import write_bundle
    from rsq.manifest import TOWERS
    from rsq.units import format_size
    from rsq_server.app import open_stores
    from rsq_server.bundles import carried_metadata, prepare_export
    from rsq_server.oci_layout import write_layout

    if output is not None and oci is not None:
        raise BadInput("--output and --oci are two ways to export; choose one.")
    chosen = next((known for known in TOWERS if known == tower), None)
    if tower is not None and chosen is None:
        raise BadInput(f"{tower[:40]!r} is not a tower; write --tower vision or --tower text.")
    names = [name.strip() for name in (variants or "").split(",") if name.strip()]
    config = build_config()
    with open_stores(config) as stores, show_bar("Exporting") as advance:
        version = stores.catalogue.resolve_reference(reference)
        version = prepare_export(version, variants=names, tower=chosen)
        path = oci or output or Path(f"{version.model}-{version.version}.rsq")
        if oci is None:
            trust = carried_metadata(config.trust_folder)
            size_bytes = write_bundle(path, version, stores.blobs, advance, trust=trust)
        else:
            size_bytes = write_layout(path, version, stores.blobs, advance)
    if as_json:
        print_json(
            {
                "model": version.model,
                "version": version.version,
                "path": str(path),
                "bytes": size_bytes,
                "artifacts": [row.id for row in version.artifacts],
            }
        )
    else:
        print(f"{version.model}:{version.version} is in {path} ({format_size(size_bytes)}).")


def import_versions(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A bundle, or the folder of an OCI image layout.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Import as this model. Default: its own name.")
    ] = None,
    alias: Annotated[
        str | None, typer.Option("--alias", help="Point this alias at the version.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add what export wrote to this registry. Artifacts keep their ids; versions get numbers."""
    from rsq.reference import require_alias, require_model_name

    if name is not None:
        require_model_name(name)
    if alias is not None:
        require_alias(alias)
    from rsq_server.app import open_stores
    from rsq_server.bundles import import_version
    from rsq_server.cli.registry import user_name

    imported = []
    with _open_sources(path) as sources, open_stores(build_config()) as stores:
        for source in sources:
            with show_bar("Importing") as advance:
                imported.append(
                    import_version(
                        source, stores, name=name, alias=alias, by=user_name(), advance=advance
                    )
                )
    if as_json:
        print_json({"versions": [_to_json(one) for one in imported]})
    else:
        for one in imported:
            _print_imported(one)


@contextmanager
def _open_sources(path: Path) -> Iterator[Sequence[VersionSource]]:
    from rsq.bundle import BundleReader
    from rsq_server.oci_reader import is_layout, read_layout

    if is_layout(path):
        yield read_layout(path)
    elif path.is_dir():
        raise BadInput(f"{path} is a folder, but no OCI image layout. Name a bundle or a layout.")
    else:
        with BundleReader(path) as bundle:
            yield [bundle]


def _to_json(imported: ImportedVersion) -> dict[str, Any]:
    version = imported.version
    return {
        "model": version.model,
        "version": version.version,
        "is_new": imported.is_new,
        "space_id": version.space_id,
        "artifacts": [row.id for row in version.artifacts],
        "bytes_stored": imported.stored_bytes,
        "bytes_reused": imported.reused_bytes,
    }


def _print_imported(imported: ImportedVersion) -> None:
    from rsq.units import format_size

    name = f"{imported.version.model}:{imported.version.version}"
    if imported.is_new:
        print(
            f"Imported {name}: stored {format_size(imported.stored_bytes)}; "
            f"{format_size(imported.reused_bytes)} were there already."
        )
    else:
        print(f"Nothing to add: {name} has these very artifacts.")
