"""The registry's front: each method is one transaction that leaves everything or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from rsq.digest import require_digest
from rsq.errors import IntegrityError, NotFound
from rsq.manifest import Manifest, artifact_id
from rsq.records import AliasEvent, ModelRow, NodeReport, NodeRow, Profile, VersionRow
from rsq.reference import parse_reference, require_alias, require_model_name
from rsq_registry import aliases, artifacts, leases, models, nodes, profiles, versions
from rsq_registry.blobs import Blobs
from rsq_registry.checks import check_profile, require_text, require_word
from rsq_registry.columns import utc_now
from rsq_registry.drafts import VersionDraft, check_draft
from rsq_registry.transactions import read, write


class Catalogue:
    """Models, versions, aliases, measurements and nodes.

    `engine` comes from `open_database` and stays the caller's; `blobs` holds the files. `now` gives
    aware times. Methods may be called from any thread. Every one raises Exhausted when the database
    stays locked or its disk is full, and EnvironmentFault when it can't be used.
    """

    def __init__(
        self, engine: Engine, blobs: Blobs, *, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._engine = engine
        self._blobs = blobs
        self._now = now

    def add_version(self, draft: VersionDraft) -> VersionRow:
        """Publishes the draft under the model's next number, in this order:

        1. Check that it hangs together. 2. Check that its blobs are here. 3. Store the
        manifests. 4. Add all rows in one transaction. A crash before 4 is done leaves no version,
        only blobs that `referenced_digests` doesn't name.

        Raises BadInput, BadManifest or SpaceMismatch for a bad draft, NotFound for a file or report
        data that was not stored, IntegrityError for one of another size than its manifest says.
        """
        # 1. hangs together
        manifests = check_draft(draft)
        # 2. blobs
        self._require_files(manifests)
        if draft.details_digest is not None and not self._blobs.has(draft.details_digest):
            raise NotFound(
                f"The report data was not stored: there is no blob {draft.details_digest}."
            )
        # 3. manifests
        for identity, data in zip(manifests, draft.artifacts, strict=True):
            self._blobs.put_bytes(data, expected=identity)
        # 4. rows
        at = self._now()
        number = write(
            self._engine, lambda session: versions.add_version(session, draft, manifests, at=at)
        )
        return self.version(draft.model, number)

    def version(self, model: str, number: int) -> VersionRow:
        """One version. Raises BadInput for a malformed name, NotFound for an unknown one."""
        return read(self._engine, lambda session: versions.describe_version(session, model, number))

    def resolve_reference(self, text: str) -> VersionRow:
        """The version that NAME, NAME:3 or NAME@alias means now; NAME alone means the alias
        `production` where it is set, else the newest version. Raises BadInput, NotFound."""
        reference = parse_reference(text)
        return read(
            self._engine,
            lambda session: versions.describe_version(
                session, reference.name, versions.resolve_number(session, reference)
            ),
        )

    def find_same(self, model: str, identities: Collection[str]) -> VersionRow | None:
        """The newest version of the model that has these very artifacts and was not deleted."""
        require_model_name(model)

        def work(session: Session) -> VersionRow | None:
            number = versions.find_same(session, model, identities)
            return None if number is None else versions.describe_version(session, model, number)

        return read(self._engine, work)

    def models(self) -> list[ModelRow]:
        """All models by name."""
        return read(self._engine, models.list_models)

    def set_alias(self, model: str, alias: str, number: int | None, by: str) -> None:
        """Moves the alias to the version, or removes it for None; `by` says who did. Raises
        BadInput for a malformed name, NotFound for an unknown model, version or alias."""
        require_model_name(model)
        require_alias(alias)
        require_word(by, "name of who moves the alias")
        at = self._now()
        write(
            self._engine,
            lambda session: versions.move_alias(session, model, alias, number, by=by, at=at),
        )

    def alias_history(self, model: str) -> list[AliasEvent]:
        """Every move of every alias of the model, oldest first. Raises BadInput, NotFound."""
        return read(
            self._engine,
            lambda session: aliases.list_events(session, models.find_model(session, model)),
        )

    def deprecate(self, model: str, number: int, reason: str | None) -> None:
        """Advises against the version, which nodes may still pull; None takes that back. Raises
        BadInput for an unprintable reason, NotFound."""
        if reason is not None:
            require_text(reason, "reason")
        write(self._engine, lambda session: versions.deprecate(session, model, number, reason))

    def delete_version(self, model: str, number: int) -> None:
        """Gives up the version's files. Its number, manifests, measurements and history stay, so
        that the registry can say years later what ran where. Raises NotFound for one that is
        unknown or deleted already, BadInput while an alias points at it."""
        at = self._now()
        write(self._engine, lambda session: versions.delete_version(session, model, number, at=at))

    def lease(self, digests: Collection[str], *, seconds: float) -> None:
        """Keeps these blobs from garbage collection for so long, as `rsq_registry.leases` says."""
        for digest in digests:
            require_digest(digest)
        until = self._now() + timedelta(seconds=seconds)
        write(self._engine, lambda session: leases.take_leases(session, digests, until=until))

    def leased_digests(self) -> dict[str, datetime]:
        """The blobs under a lease, and until when."""
        at = self._now()
        return read(self._engine, lambda session: leases.leased_digests(session, at=at))

    def deleted_owners(self) -> dict[str, str]:
        """For each file of a deleted version, one such version as NAME:3."""
        return read(self._engine, artifacts.deleted_owners)

    def collect(self, digests: Collection[str], remove: Callable[[str], None]) -> list[str]:
        """Calls `remove` for those that no version needs and no lease keeps, and returns them.
        Nobody can take a lease or add a version meanwhile, so keep `digests` few."""
        at = self._now()

        def work(session: Session) -> list[str]:
            leases.exclude_leasing(session)
            leases.drop_expired(session, at=at)
            kept = versions.referenced_digests(session)
            kept.update(leases.leased_digests(session, at=at))
            unneeded = [digest for digest in digests if digest not in kept]
            for digest in unneeded:
                remove(digest)
            return unneeded

        return write(self._engine, work)

    def add_profiles(self, records: Sequence[Profile]) -> None:
        """Appends measurements; of one artifact and source the newest 64 are kept. All or none:
        raises BadInput for a malformed one, NotFound for one of an unknown artifact."""
        for record in records:
            check_profile(record)
        at = self._now()

        def work(session: Session) -> None:
            artifacts.require_artifacts(session, [record.artifact_id for record in records])
            profiles.append_profiles(session, records, at=at)

        write(self._engine, work)

    def record_node(self, report: NodeReport) -> None:
        """Replaces what the node said before and appends its profiles, as `save_report` of
        rsq_registry.nodes says. Raises BadInput for a malformed report."""
        nodes.check_report(report)
        at = self._now()
        write(self._engine, lambda session: nodes.save_report(session, report, at=at))

    def nodes(self) -> list[NodeRow]:
        """All nodes by id, each with what it runs and what it measured of that."""
        return read(self._engine, nodes.list_nodes)

    def artifact_manifest(self, identity: str) -> bytes:
        """The manifest's canonical bytes. Raises BadInput, NotFound for an unknown artifact,
        IntegrityError when the stored bytes are damaged."""
        require_digest(identity)
        read(self._engine, lambda session: artifacts.require_artifacts(session, [identity]))
        data = self._blobs.read(identity, 0, self._blobs.size(identity))
        if artifact_id(data) != identity:
            raise IntegrityError(f"The stored manifest of artifact {identity} is damaged.")
        return data

    def referenced_digests(self) -> set[str]:
        """The blobs that some version needs. Blobs beside them belong to nobody, or to a version
        that is being published right now."""
        return read(self._engine, versions.referenced_digests)

    def _require_files(self, manifests: Mapping[str, Manifest]) -> None:
        for identity, manifest in manifests.items():
            for entry in manifest.files:
                if not self._blobs.has(entry.sha256):
                    raise NotFound(
                        f"The file {entry.name!r} of artifact {identity} was not stored: there is "
                        f"no blob {entry.sha256}."
                    )
                if self._blobs.size(entry.sha256) != entry.size_bytes:
                    raise IntegrityError(
                        f"The file {entry.name!r} of artifact {identity} has another size than its "
                        "manifest says."
                    )
