"""rsq_server.progress: what reaches whoever watches."""

from __future__ import annotations

from rsq_server.progress import ByteProgress


class Recorder:
    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def start_step(self, number: int, title: str) -> None:
        self.heard.append((number, title))

    def advance(self, done: int, total: int | None, detail: str) -> None:
        self.heard.append((done, total, detail))


def test_bytes_on_their_way_count_from_where_the_last_file_ended() -> None:
    recorder = Recorder()
    progress = ByteProgress(recorder)
    progress.start_step(9, "Store the version")
    progress.advance(100, 300, "bytes")
    progress.add_bytes(50)
    progress.add_bytes(-20)
    progress.advance(200, 300, "bytes")
    progress.add_bytes(150)  # manifests come on top of the files
    assert recorder.heard == [
        (9, "Store the version"),
        (100, 300, "bytes"),
        (150, 300, "bytes"),
        (130, 300, "bytes"),
        (200, 300, "bytes"),
        (300, 300, "bytes"),
    ]


def test_bytes_count_where_no_total_is_known() -> None:
    recorder = Recorder()
    ByteProgress(recorder).add_bytes(7)
    assert recorder.heard == [(7, None, "bytes")]
