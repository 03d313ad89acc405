"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def rsq_data() -> Path:
    """The folder of real images and checkpoints (RSQ_DATA, default ../shared/data).

    Tests that need it skip where it is absent, and fail instead of skipping in CI.
    """
    folder = Path(os.environ.get("RSQ_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "SOURCES.md").is_file():
        message = f"No test data at {folder}; set RSQ_DATA."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
