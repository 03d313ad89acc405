"""The audit log: what is in it, what is not, and that it stays bounded and readable."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from rsq import audit
from rsq.audit import FILE_NAME, KEPT_FILES, AuditLog, read_audit
from rsq.call_record import CallRecord, Identity
from rsq.errors import EnvironmentFault

CHANGES, READS = "rsq.v1.Registry/SetAlias", "rsq.v1.Registry/ListModels"


def _call(method: str = CHANGES, **fields: object) -> CallRecord:
    record = CallRecord(method, "request-1", "ipv4:10.0.0.5:4000")
    record.caller = Identity("ci", "0123456789ab")
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def test_a_call_that_changes_something_is_told_with_who_and_what(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.record(_call(request={"model": "tiny", "alias": "production", "version": 3}))
    log.record(_call(code="PERMISSION_DENIED", error="May not."))
    first, second = read_audit(tmp_path)
    assert first["caller"] == "ci"
    assert first["token"] == "0123456789ab"
    assert first["method"] == CHANGES
    assert first["request_id"] == "request-1"
    assert first["request"] == {"model": "tiny", "alias": "production", "version": 3}
    assert first["code"] == "OK"
    assert second["code"] == "PERMISSION_DENIED"
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_reading_calls_and_strangers_leave_no_line(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.record(_call(READS))
    log.record(_call(caller=None, code="UNAUTHENTICATED"))
    log.record(_call("http/v1/embeddings"))
    assert list(read_audit(tmp_path)) == []


def test_full_files_are_kept_up_to_a_bound_and_read_in_order(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, max_file_bytes=1000)
    for number in range(100):
        log.record(_call(request={"version": number}))
    versions = [entry["request"]["version"] for entry in read_audit(tmp_path)]
    assert versions == list(range(versions[0], 100))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == KEPT_FILES + 1
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    AuditLog(tmp_path).record(_call(request={"version": 1}))
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b'{"time": "2026-')
    AuditLog(tmp_path).record(_call(request={"version": 2}))
    assert [entry["request"]["version"] for entry in read_audit(tmp_path)] == [1, 2]


def test_a_name_can_not_forge_a_line(tmp_path: Path) -> None:
    AuditLog(tmp_path).record(_call(error='x"}\n{"caller": "root"}'))
    assert [entry["caller"] for entry in read_audit(tmp_path)] == ["ci"]


def test_a_disk_that_fails_does_not_fail_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = AuditLog(tmp_path)
    monkeypatch.setattr(audit.os, "write", lambda file, data: len(data) - 1)
    with caplog.at_level(logging.ERROR, "rsq.audit"):
        log.record(_call())
    assert "can't be written" in caplog.text
    assert json.loads(caplog.text[caplog.text.index("{") :])["caller"] == "ci"


def test_a_folder_that_can_not_be_written_is_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="audit log"):
        AuditLog(tmp_path / "file" / "folder")
