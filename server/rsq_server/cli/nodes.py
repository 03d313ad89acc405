"""`rsq-server nodes`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rsq_server.cli.options import Json, Server
from rsq_server.cli.output import print_json, print_table

if TYPE_CHECKING:
    from rsq.records import NodeRow

EPILOG = """Examples:

rsq-server nodes

rsq-server nodes --server 127.0.0.1:7100 --json"""


def nodes(server: Server = None, as_json: Json = False) -> None:
    """List the nodes: their device, what they run, and what they measured."""
    from rsq_server.cli.registry import open_registry

    with open_registry(server) as registry:
        rows = registry.nodes()
    if as_json:
        print_json({"nodes": [_to_json(row) for row in rows]})
    elif rows:
        print_table([_table_row(row) for row in rows])
    else:
        print("No node has reported yet. Agents report when they activate a model.")


def _to_json(row: NodeRow) -> dict[str, Any]:
    return {**asdict(row.report), "seen_at": row.seen_at}


def _table_row(row: NodeRow) -> dict[str, str]:
    from rsq.units import format_size

    report = row.report
    peaks = [profile.peak_bytes for profile in report.profiles]
    return {
        "node": report.node_id,
        "host": report.hostname,
        "device": report.device,
        "memory": format_size(report.memory_bytes),
        "runs": f"{report.model}:{report.version}" if report.model else "nothing",
        "artifacts": " ".join(identity[:12] for identity in report.artifact_ids),
        "largest peak": format_size(max(peaks)) if peaks else "-",
        "agent": report.agent_version,
        "seen": row.seen_at,
    }
