"""What an artifact was made from and how, as its manifest says, and all that was measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rsq.manifest import ImageSpec, Manifest, ScoringSpec, TextSpec, canonical_json
from rsq.records import ArtifactRow, Profile
from rsq.units import format_size
from rsq_server.report_page.formats import format_number
from rsq_server.report_page.tables import Cell, Column, Group, Row, Table


@dataclass(frozen=True)
class Fact:
    """`is_code`: a digest or the like, written in letters of one width."""

    name: str
    value: str
    is_code: bool = False


@dataclass(frozen=True)
class ArtifactLineage:
    id: str
    name: str
    mark: str
    facts: tuple[Fact, ...]
    files: Table
    profiles: Table | None


def show_lineage(
    rows: Sequence[ArtifactRow], manifests: Mapping[str, Manifest], colours: Mapping[str, str]
) -> list[ArtifactLineage]:
    return [
        ArtifactLineage(
            id=row.id,
            name=f"{row.tower} {row.variant}",
            mark=colours[row.variant],
            facts=_list_facts(row, manifests[row.id]),
            files=_tabulate_files(manifests[row.id]),
            profiles=_tabulate_profiles(row.profiles) if row.profiles else None,
        )
        for row in rows
    ]


def _list_facts(row: ArtifactRow, manifest: Manifest) -> tuple[Fact, ...]:
    lineage, recipe, probe = manifest.lineage, manifest.recipe, manifest.probe
    calibration = lineage.calibration_digest
    facts = [
        Fact("artifact", row.id, is_code=True),
        Fact("source", lineage.source_digest, is_code=True),
        Fact("calibration", calibration or "none", is_code=calibration is not None),
        Fact("recipe", recipe.name),
        *(Fact(name, _to_text(value)) for name, value in sorted(recipe.parameters.items())),
        Fact("providers", ", ".join(recipe.providers)),
        Fact("tools", ", ".join(f"{name} {version}" for name, version in lineage.tools.items())),
        Fact(
            "golden probe",
            f"cosine of at least {probe.own_cosine_min} to its own outputs on the publisher and "
            f"{probe.fp32_cosine_min} to FP32's",
        ),
        Fact("alone and in a batch", "the same" if row.batch_invariant else "not the same"),
        Fact("scoring", _describe_scoring(manifest.scoring)),
        Fact("licence", manifest.licence or "not stated"),
    ]
    if manifest.image is not None:
        facts.append(Fact("image input", _describe_image(manifest.image)))
    if manifest.text is not None:
        facts.append(Fact("text input", _describe_text(manifest.text)))
    return tuple(facts)


def _tabulate_files(manifest: Manifest) -> Table:
    columns = (Column("role"), Column("size"), Column("chunks"), Column("SHA-256"))
    rows = tuple(
        Row(
            entry.name,
            "",
            (
                Cell(entry.role),
                Cell(format_size(entry.size_bytes)),
                Cell(str(len(entry.chunks))),
                Cell(entry.sha256, tone="code"),
            ),
        )
        for entry in manifest.files
    )
    return Table("Files", "file", (Group("", columns),), rows)


def _tabulate_profiles(profiles: Sequence[Profile]) -> Table:
    titles = (
        "device", "provider", "batch", "workers", "threads", "p50 ms", "p95 ms", "items/s",
        "load ms", "peak", "at rest", "process before",
    )  # fmt: skip
    rows = tuple(
        Row(
            profile.source,
            "",
            tuple(
                Cell(text)
                for text in (
                    profile.device,
                    profile.provider,
                    str(profile.batch),
                    str(profile.workers),
                    str(profile.threads),
                    format_number(profile.p50_ms),
                    format_number(profile.p95_ms),
                    format_number(profile.per_second),
                    format_number(profile.load_ms),
                    format_size(profile.peak_bytes),
                    format_size(profile.steady_bytes),
                    format_size(profile.baseline_bytes),
                )
            ),
        )
        for profile in profiles
    )
    columns = tuple(Column(title) for title in titles)
    return Table("Measurements", "measured by", (Group("", columns),), rows)


def _to_text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else canonical_json(value).decode()


def _describe_scoring(scoring: ScoringSpec) -> str:
    if scoring.kind == "softmax":
        return f"softmax of {scoring.scale:g} \N{MULTIPLICATION SIGN} cosine"
    sign = "+" if scoring.bias >= 0 else "\N{MINUS SIGN}"
    product = f"{scoring.scale:g} \N{MULTIPLICATION SIGN} cosine"
    return f"sigmoid of {product} {sign} {abs(scoring.bias):g}"


def _describe_image(spec: ImageSpec) -> str:
    size = f"{spec.width} \N{MULTIPLICATION SIGN} {spec.height} pixels"
    way = (
        f"shorter edge to {spec.shortest_edge}, centre {size}"
        if spec.shortest_edge is not None
        else size
    )
    mean, std = (", ".join(f"{value:g}" for value in three) for three in (spec.mean, spec.std))
    return f"{way}, {spec.resample}; mean {mean}; standard deviation {std}"


def _describe_text(spec: TextSpec) -> str:
    case = ", in lower case" if spec.lower_case else ""
    return f"{spec.max_length} tokens, always padded{case}"
