"""`rsq-server gc` and `rsq-server verify`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from rsq.connection_options import server_endpoint
from rsq.error_catalog import outcome_of
from rsq.errors import IntegrityError
from rsq_server.cli.options import Json, build_config
from rsq_server.cli.output import print_json, print_table
from rsq_server.cli.progress import show_bar

GC_EPILOG = """Examples:

rsq-server gc --dry-run

rsq-server gc"""

VERIFY_EPILOG = """Examples:

rsq-server verify

rsq-server verify --repair-from 10.0.0.5:7100"""

LISTED = 20  # blobs that a table shows before it counts the rest


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go and why; remove nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove files that no version needs. Safe while the server runs and others publish."""
    from rsq.units import format_size
    from rsq_registry.garbage import UNFINISHED_SECONDS, collect
    from rsq_server.app import open_stores
    from rsq_server.leftovers import remove_leftovers
    from rsq_server.uploads import Uploads

    config = build_config()
    with open_stores(config) as stores, show_bar("Removing") as advance:
        found = collect(stores.catalogue, stores.blobs, dry_run=dry_run, advance=advance)
        if not dry_run:
            uploads = Uploads(config.uploads_folder, stores.blobs)
            uploads.discard_unfinished(older_than_s=UNFINISHED_SECONDS)
    leftovers = remove_leftovers(config, dry_run=dry_run)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                **asdict(found),
                "freed_bytes": found.freed_bytes + sum(one.size_bytes for one in leftovers),
                "leftovers": [asdict(one) for one in leftovers],
            }
        )
        return
    rows = [
        {"file": blob.digest[:12], "size": format_size(blob.size_bytes), "reason": blob.reason}
        for blob in found.removed[:LISTED]
    ]
    rows += [
        {"file": one.path, "size": format_size(one.size_bytes), "reason": one.reason}
        for one in leftovers
    ]
    if rows:
        print_table(rows)
    if len(found.removed) > LISTED:
        print(f"and {len(found.removed) - LISTED} more")
    freed_bytes = found.freed_bytes + sum(one.size_bytes for one in leftovers)
    print(
        f"{'Would free' if dry_run else 'Freed'} {format_size(freed_bytes)} in "
        f"{len(found.removed)} files; a lease keeps {len(found.leased)} more for a while."
    )


def verify(
    repair_from: Annotated[
        str | None,
        typer.Option(
            "--repair-from",
            help="Fetch what is missing or damaged from the server that runs there.",
            metavar="HOST:PORT",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hash every file that a version needs, and repair what another server has."""
    from rsq.units import format_size
    from rsq_registry.verification import verify as run_verify
    from rsq_server.app import open_stores

    with (
        open_stores(build_config()) as stores,
        _repair(repair_from) as repair,
        show_bar("Hashing") as advance,
    ):
        found = run_verify(stores.catalogue, stores.blobs, repair=repair, advance=advance)
    left = sum(not one.repaired for one in found.findings)
    failure = IntegrityError(
        f"{left} files are missing or damaged. Name a server that has them with --repair-from, or "
        "publish the version again."
    )
    if as_json:
        print_json({**asdict(found), "clean": found.is_clean})
        # The report says it all; a second JSON document would break whoever reads the first.
        raise typer.Exit(0 if found.is_clean else outcome_of(failure).exit_code)
    if found.findings:
        print_table(
            [
                {
                    "file": one.digest[:12],
                    "fault": one.fault,
                    "repaired": "yes" if one.repaired else f"no: {one.detail}",
                }
                for one in found.findings
            ]
        )
    print(f"{found.blobs} files, {format_size(found.size_bytes)} right as stored.")
    if not found.is_clean:
        raise failure


@contextmanager
def _repair(address: str | None) -> Iterator[Callable[[str], Iterator[bytes]] | None]:
    if address is None:
        yield None
        return
    from rsq.rpc.registry import RegistryClient

    with RegistryClient(server_endpoint(address)) as client:
        yield client.read_whole_blob
