"""rsq_registry.drafts: another registry's version as a draft of this one's."""

from __future__ import annotations

import pytest
from version_samples import MemoryBlobs, make_stored_version

from rsq.errors import NotFound
from rsq_registry.drafts import check_draft, draft_from_record


def test_a_draft_takes_over_every_record_but_the_number() -> None:
    blobs = MemoryBlobs()
    version = make_stored_version(blobs)
    draft = draft_from_record(version, blobs.contents, alias="staging", by="tests")
    assert list(check_draft(draft)) == [row.id for row in version.artifacts]
    assert [one.artifact_id for one in draft.evaluations] == [row.id for row in version.artifacts]
    assert draft.pairs == version.pairs
    assert len(draft.profiles) == sum(len(row.profiles) for row in version.artifacts)
    assert (draft.model, draft.alias, draft.by) == ("tiny", "staging", "tests")
    assert (draft.space_id, draft.source_digest) == (version.space_id, version.source_digest)
    assert draft.details_digest == version.details_digest


def test_a_manifest_that_is_missing_is_named() -> None:
    blobs = MemoryBlobs()
    version = make_stored_version(blobs)
    del blobs.contents[version.artifacts[2].id]
    with pytest.raises(NotFound, match=version.artifacts[2].id):
        draft_from_record(version, blobs.contents, by="tests")
