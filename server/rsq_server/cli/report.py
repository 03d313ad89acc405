"""`rsq-server report`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.errors import BadInput, EnvironmentFault
from rsq_server.cli.options import build_config
from rsq_server.cli.output import print_json

if TYPE_CHECKING:
    from rsq.records import VersionRow
    from rsq_server.app import Stores

STDOUT = "-"
EPILOG = """Examples:

rsq-server report git-rsclip-base

rsq-server report git-rsclip-base:3 -o report.html

rsq-server report git-rsclip-base@staging -o - > report.html"""


def report(
    reference: Annotated[str, typer.Argument(metavar="NAME", help="NAME, NAME:3 or NAME@alias.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="The file to write, or - for stdout. Default: NAME-VERSION.html.",
            metavar="FILE",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the file's path and size as JSON.")
    ] = False,
) -> None:
    """Write a version's report: one HTML page that needs no network."""
    from rsq_server.app import open_stores

    if as_json and output == STDOUT:
        raise BadInput("--json and -o - would both print on stdout; name a file.")
    with open_stores(build_config()) as stores:
        version = stores.catalogue.resolve_reference(reference)
        page = _render(stores, version).encode()
    if output == STDOUT:
        sys.stdout.buffer.write(page)
        return
    path = Path(output or f"{version.model}-{version.version}.html")
    _write(path, page)
    if as_json:
        print_json({"path": str(path), "bytes": len(page)})
        return
    from rsq.units import format_size

    print(f"{path} ({format_size(len(page))})")


def _render(stores: Stores, version: VersionRow) -> str:
    from rsq.manifest import decode_manifest
    from rsq_server.details import decode_details
    from rsq_server.report_page.page import render_report

    manifests = {
        row.id: decode_manifest(stores.catalogue.artifact_manifest(row.id))
        for row in version.artifacts
    }
    digest = version.details_digest
    details = None
    if digest is not None:
        stores.blobs.verify(digest)
        details = decode_details(stores.blobs.read(digest, 0, stores.blobs.size(digest)))
    return render_report(version, manifests, details)


def _write(path: Path, page: bytes) -> None:
    try:
        path.write_bytes(page)
    except OSError as e:
        raise EnvironmentFault(f"{path} can't be written: {e.strerror or e}.") from e
