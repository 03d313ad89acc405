from __future__ import annotations

from pathlib import Path

from rsq_agent.inference.contention import Contention


def test_the_share_is_of_the_time_since(tmp_path: Path) -> None:
    books = tmp_path / "schedstat"
    books.write_text("1000 9000 5\n")
    contention = Contention(books)
    assert contention.share() == 0.0
    books.write_text("1300 9100 7\n")
    assert contention.share() == 0.25


def test_a_kernel_without_books_saw_nothing(tmp_path: Path) -> None:
    assert Contention(tmp_path / "missing").share() == 0.0
    (tmp_path / "other").write_text("no numbers")
    assert Contention(tmp_path / "other").share() == 0.0


def test_this_kernel_is_read() -> None:
    assert 0.0 <= Contention().share() <= 1.0
