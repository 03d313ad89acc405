"""rsq_agent.pulling.sources: who is asked, and who is not asked again."""

from __future__ import annotations

from collections.abc import Iterator

from rsq.errors import IntegrityError, NotFound, Unreachable
from rsq_agent.pulling.sources import MIRROR_FAILURES, Sources

BLOB, OTHER = "a" * 64, "b" * 64


class Source:
    def __init__(self, target: str) -> None:
        self.target = target
        self.cancelled = False

    def read_blob(
        self, digest: str, offset: int, length: int, *, timeout_seconds: float
    ) -> Iterator[bytes]:
        yield b""

    def cancel_reads(self) -> None:
        self.cancelled = True


ORIGIN, FIRST, SECOND = Source("origin"), Source("first"), Source("second")


def _asked(sources: Sources, digest: str = BLOB) -> set[str]:
    return {sources.choose(digest).target for _ in range(6)}


def test_mirrors_are_asked_in_turn_and_the_origin_is_spared() -> None:
    assert _asked(Sources(ORIGIN, [FIRST, SECOND])) == {"first", "second"}
    assert _asked(Sources(ORIGIN)) == {"origin"}


def test_a_mirror_without_a_blob_is_asked_for_others() -> None:
    sources = Sources(ORIGIN, [FIRST])
    assert sources.failed(FIRST, BLOB, NotFound("no"))
    assert _asked(sources) == {"origin"}
    assert _asked(sources, OTHER) == {"first"}


def test_a_mirror_that_lies_once_is_not_asked_again() -> None:
    sources = Sources(ORIGIN, [FIRST, SECOND])
    assert sources.failed(FIRST, BLOB, IntegrityError("other bytes"))
    assert _asked(sources) == _asked(sources, OTHER) == {"second"}


def test_a_mirror_out_of_reach_is_left_out_after_some_failures_in_a_row() -> None:
    sources = Sources(ORIGIN, [FIRST])
    for _ in range(MIRROR_FAILURES - 1):
        sources.failed(FIRST, BLOB, Unreachable("gone"))
    sources.succeeded(FIRST)
    for _ in range(MIRROR_FAILURES - 1):
        sources.failed(FIRST, BLOB, Unreachable("gone"))
        assert _asked(sources) == {"first"}
    sources.failed(FIRST, BLOB, Unreachable("gone"))
    assert _asked(sources) == {"origin"}


def test_nobody_else_can_be_asked_when_the_origin_fails() -> None:
    sources = Sources(ORIGIN, [FIRST])
    assert not sources.failed(ORIGIN, BLOB, Unreachable("gone"))


def test_stopping_reaches_every_source() -> None:
    sources = [Source("origin"), Source("mirror")]
    Sources(sources[0], sources[1:]).cancel_reads()
    assert all(source.cancelled for source in sources)
