"""Nodes: what each one last said of itself."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import literal, select
from sqlalchemy.orm import Session, selectinload

from rsq.digest import require_digest
from rsq.errors import BadInput
from rsq.records import NodeReport, NodeRow, Profile
from rsq.reference import require_model_name
from rsq_registry import tables
from rsq_registry.artifacts import known_artifacts
from rsq_registry.checks import (
    MAX_BYTES,
    check_profile,
    require_integer,
    require_text,
    require_word,
)
from rsq_registry.columns import format_time
from rsq_registry.profiles import append_profiles, to_record

MAX_REPORTED = 64  # providers, artifacts and profiles of one report, each
SOURCE_PREFIX = "node:"
_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_report(report: NodeReport) -> None:
    """Raises BadInput for a report that is malformed or too long. A node that runs nothing has an
    empty model, version 0 and no artifacts."""
    if not _NODE_ID.fullmatch(report.node_id):
        raise BadInput(f"{report.node_id[:128]!r} is not a node id.")
    require_text(report.hostname, "node's host name")
    require_word(report.agent_version, "node's agent version")
    require_text(report.device, "node's device")
    require_integer(report.memory_bytes, "node's memory", high=MAX_BYTES)
    if report.model:
        require_model_name(report.model)
    require_integer(report.version, "node's version")
    for what, values in (
        ("providers", report.providers),
        ("artifacts", report.artifact_ids),
        ("profiles", report.profiles),
    ):
        if len(values) > MAX_REPORTED:
            raise BadInput(f"The node reports {len(values)} {what}, over {MAX_REPORTED}.")
    for provider in report.providers:
        require_word(provider, "node's provider")
    for identity in report.artifact_ids:
        require_digest(identity)
    for profile in report.profiles:
        check_profile(profile)


def save_report(session: Session, report: NodeReport, *, at: datetime) -> None:
    """Replaces what the node said before and appends its profiles, with the source `node:ID`
    whatever they say. Profiles of artifacts that this registry doesn't hold are left out: the node
    may have them from a mirror, and is worth knowing all the same."""
    node = session.get(tables.Node, report.node_id)
    if node is None:
        node = tables.Node(id=report.node_id)
        session.add(node)
    node.hostname = report.hostname
    node.agent_version = report.agent_version
    node.device = report.device
    node.memory_bytes = report.memory_bytes
    node.model = report.model
    node.version = report.version
    node.seen_at = at
    node.providers = []
    node.artifacts = []
    session.flush()  # the old rows go before new ones take their positions
    node.providers = [
        tables.NodeProvider(position=position, provider=provider)
        for position, provider in enumerate(report.providers)
    ]
    node.artifacts = [
        tables.NodeArtifact(position=position, artifact_id=identity)
        for position, identity in enumerate(report.artifact_ids)
    ]
    session.flush()
    known = known_artifacts(session, [profile.artifact_id for profile in report.profiles])
    source = SOURCE_PREFIX + report.node_id
    append_profiles(
        session,
        [replace(p, source=source) for p in report.profiles if p.artifact_id in known],
        at=at,
    )


def list_nodes(session: Session) -> list[NodeRow]:
    """All nodes by id. Each report's profiles are what the node measured, so far as it is kept, of
    the artifacts that it runs now."""
    nodes = session.scalars(
        select(tables.Node)
        .order_by(tables.Node.id)
        .options(selectinload(tables.Node.providers), selectinload(tables.Node.artifacts))
    ).all()
    measured = _measured(session)
    return [_to_row(node, measured.get(node.id, ())) for node in nodes]


def _measured(session: Session) -> dict[str, list[Profile]]:
    running = select(tables.NodeArtifact.node_id, tables.NodeArtifact.artifact_id).distinct()
    current = running.subquery()
    rows = session.execute(
        select(current.c.node_id, tables.Profile)
        .join(current, current.c.artifact_id == tables.Profile.artifact_id)
        .where(tables.Profile.source == literal(SOURCE_PREFIX).concat(current.c.node_id))
        .order_by(tables.Profile.id)
    )
    measured: dict[str, list[Profile]] = defaultdict(list)
    for node_id, profile in rows:
        measured[node_id].append(to_record(profile))
    return dict(measured)


def _to_row(node: tables.Node, measured: Sequence[Profile]) -> NodeRow:
    report = NodeReport(
        node_id=node.id,
        hostname=node.hostname,
        agent_version=node.agent_version,
        device=node.device,
        providers=tuple(row.provider for row in node.providers),
        memory_bytes=node.memory_bytes,
        model=node.model,
        version=node.version,
        artifact_ids=tuple(row.artifact_id for row in node.artifacts),
        profiles=tuple(measured),
    )
    return NodeRow(report, format_time(node.seen_at))
