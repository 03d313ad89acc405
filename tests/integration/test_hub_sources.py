"""The real clients of both hubs, unmodified, against a hub on loopback.

What the clients check by themselves: huggingface_hub holds a body's size against the announced one,
never its content; modelscope_hub holds size and SHA-256 against its listing. rsq holds every file
against the listing for both, so wrong bytes are an IntegrityError either way.
"""

from __future__ import annotations

import hashlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hub_server import COMMIT, HubServer

from rsq.errors import (
    BadSource,
    Exhausted,
    IntegrityError,
    NotFound,
    PermissionDenied,
    RsqError,
    Unauthenticated,
    Unreachable,
)
from rsq_server.sources.source import Source, resolve_source

HUBS = ("hf", "modelscope")
WEIGHTS = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(10_000))  # 320 kB
CHECKPOINT = {
    "config.json": b'{"model_type": "siglip"}',
    "preprocessor_config.json": b'{"size": 8}',
    "tokenizer.json": b"[" + b"1," * 1000 + b"1]",
    "model.safetensors": WEIGHTS,
    "README.md": b"---\nlicense: apache-2.0\n---\n",
    "LICENSE": b"Apache",
}
BYSTANDERS = {
    "pytorch_model.bin": b"pickle",
    "metrics.json": b"{}",
    ".gitattributes": b"",
    "checkpoint-5/model.safetensors": b"older",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that both clients take for the real one, caches of this test's own, and no way out:
    whatever else they connect to goes through a proxy that isn't there."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "MODELSCOPE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "ms-home"))
    # The clients' own retries, cut short where they let us.
    monkeypatch.setenv("MODELSCOPE_DOWNLOAD_MAX_RETRIES", "1")
    monkeypatch.setenv("MODELSCOPE_REPO_TREE_PAGE_MAX_ATTEMPTS", "1")
    with HubServer(CHECKPOINT | BYSTANDERS) as server:
        point_clients(monkeypatch, server.url)
        yield server


def point_clients(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", url)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def publish(text: str, tmp_path: Path) -> Source:
    return resolve_source(text, work_folder=tmp_path / "work")


def refuse(kind: type[RsqError], text: str, tmp_path: Path) -> str:
    """The message of the error of exactly `kind` that `text` ends in: one sentence, no half-made
    folder left behind."""
    with pytest.raises(RsqError) as caught:
        publish(text, tmp_path)
    assert type(caught.value) is kind, caught.value
    assert "\n" not in caught.value.message
    assert not (tmp_path / "work").exists()
    return caught.value.message


@pytest.mark.parametrize("name", HUBS)
def test_a_hub_gives_the_same_bytes_and_digest_as_a_folder(
    name: str, hub: HubServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "local"
    folder.mkdir()
    for file_name, data in CHECKPOINT.items():
        (folder / file_name).write_bytes(data)

    source = publish(f"{name}:org/model", tmp_path)

    arrived = {path.name: path.read_bytes() for path in source.folder.iterdir()}
    assert arrived == CHECKPOINT
    assert source.digest == publish(str(folder), tmp_path).digest
    assert source.folder.parent == tmp_path / "work"
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.parametrize("name", HUBS)
def test_only_what_is_needed_is_downloaded(name: str, hub: HubServer, tmp_path: Path) -> None:
    publish(f"{name}:org/model", tmp_path)
    assert sorted(hub.downloads) == sorted(CHECKPOINT)


@pytest.mark.parametrize("name", HUBS)
def test_publishing_again_downloads_nothing(name: str, hub: HubServer, tmp_path: Path) -> None:
    first = publish(f"{name}:org/model", tmp_path)
    hub.downloads.clear()
    second = publish(f"{name}:org/model", tmp_path)
    assert hub.downloads == []
    assert second.digest == first.digest
    assert second.folder != first.folder


@pytest.mark.parametrize("name", HUBS)
def test_a_file_that_left_the_repository_is_not_in_the_source(
    name: str, hub: HubServer, tmp_path: Path
) -> None:
    publish(f"{name}:org/model", tmp_path)
    hub.files = {k: v for k, v in hub.files.items() if k != "preprocessor_config.json"}
    second = publish(f"{name}:org/model", tmp_path)
    assert not (second.folder / "preprocessor_config.json").exists()


def test_the_description_pins_the_commit_or_names_the_revision(
    hub: HubServer, tmp_path: Path
) -> None:
    assert publish("hf:org/model@v1", tmp_path).description == f"hf:org/model@{COMMIT}"
    assert publish("modelscope:org/model", tmp_path).description == "modelscope:org/model@master"
    assert publish("modelscope:org/model@v1", tmp_path).description == "modelscope:org/model@v1"


@pytest.mark.parametrize("name", HUBS)
def test_progress_grows_to_the_size_of_the_files(name: str, hub: HubServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    resolve_source(
        f"{name}:org/model",
        work_folder=tmp_path,
        progress=lambda done, total: seen.append((done, total)),
    )
    total = sum(len(data) for data in CHECKPOINT.values())
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize("name", HUBS)
def test_an_exception_in_progress_ends_the_download(
    name: str, hub: HubServer, tmp_path: Path
) -> None:
    def give_up(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    hub.flow.clear()
    try:
        with pytest.raises(KeyboardInterrupt):
            resolve_source(f"{name}:org/model", work_folder=tmp_path, progress=give_up)
    finally:
        hub.flow.set()
    # Had it gone on, the weights would lie in the cache by now.
    assert not [path for path in tmp_path.rglob("*") if path.stat().st_size == len(WEIGHTS)]
    assert psutil.Process().children() == []


@pytest.mark.parametrize("name", HUBS)
def test_an_unknown_repository_is_not_found(name: str, hub: HubServer, tmp_path: Path) -> None:
    message = refuse(NotFound, f"{name}:org/other", tmp_path)
    assert f"{name}:org/other" in message
    assert "TOKEN" in message


@pytest.mark.parametrize("name", HUBS)
def test_an_unknown_revision_is_not_found(name: str, hub: HubServer, tmp_path: Path) -> None:
    assert "v9" in refuse(NotFound, f"{name}:org/model@v9", tmp_path)


@pytest.mark.parametrize("name", HUBS)
def test_a_repository_without_safetensors_is_refused_before_a_byte_is_fetched(
    name: str, hub: HubServer, tmp_path: Path
) -> None:
    hub.files = {k: v for k, v in hub.files.items() if k != "model.safetensors"}
    assert "pytorch_model.bin" in refuse(BadSource, f"{name}:org/model", tmp_path)
    assert hub.downloads == []


@pytest.mark.parametrize("name", HUBS)
def test_a_listing_can_not_write_outside_the_cache(
    name: str, hub: HubServer, tmp_path: Path
) -> None:
    hub.extra_listed = {"../../../../evil.json": b"1", f"{tmp_path}/LICENSE": b"2"}
    publish(f"{name}:org/model", tmp_path)
    assert sorted(hub.downloads) == sorted(CHECKPOINT)
    assert list(tmp_path.rglob("evil.json")) == []
    assert not (tmp_path / "LICENSE").exists()


@pytest.mark.parametrize(
    ("name", "status", "code", "kind", "variable"),
    [
        ("hf", 401, "GatedRepo", Unauthenticated, "HF_TOKEN"),
        ("hf", 403, "GatedRepo", PermissionDenied, "HF_TOKEN"),
        ("hf", 403, None, PermissionDenied, "HF_TOKEN"),
        ("modelscope", 401, None, Unauthenticated, "MODELSCOPE_API_TOKEN"),
        ("modelscope", 403, None, PermissionDenied, "MODELSCOPE_API_TOKEN"),
    ],
)
@pytest.mark.parametrize("where", ["status", "file_status"])
def test_a_refusal_names_the_variable_that_helps(
    name: str,
    status: int,
    code: str | None,
    kind: type[RsqError],
    variable: str,
    where: str,
    hub: HubServer,
    tmp_path: Path,
) -> None:
    setattr(hub, where, status)
    hub.error_code = code
    assert variable in refuse(kind, f"{name}:org/model", tmp_path)


@pytest.mark.parametrize(
    ("name", "variable"), [("hf", "HF_TOKEN"), ("modelscope", "MODELSCOPE_API_TOKEN")]
)
def test_the_variable_named_does_help(
    name: str, variable: str, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    with pytest.raises(RsqError, match=variable):
        publish(f"{name}:org/model", tmp_path)
    monkeypatch.setenv(variable, "hf_secret")
    assert publish(f"{name}:org/model", tmp_path).digest


@pytest.mark.parametrize("name", HUBS)
def test_a_hub_that_refuses_connections_is_unreachable(
    name: str, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_clients(monkeypatch, f"http://127.0.0.1:{closed_port()}")
    refuse(Unreachable, f"{name}:org/model", tmp_path)


@pytest.mark.parametrize(
    ("name", "where"),
    # Not (hf, file_status): that client's retries can't be cut short and take three quarters of a
    # minute to come to the same.
    [("hf", "status"), ("modelscope", "status"), ("modelscope", "file_status")],
)
def test_a_hub_that_is_down_is_unreachable(
    name: str, where: str, hub: HubServer, tmp_path: Path
) -> None:
    setattr(hub, where, 503)
    assert "503" in refuse(Unreachable, f"{name}:org/model", tmp_path)


@pytest.mark.parametrize("name", HUBS)
def test_a_login_page_is_no_hub(name: str, hub: HubServer, tmp_path: Path) -> None:
    hub.html = True
    assert "not its API" in refuse(Unreachable, f"{name}:org/model", tmp_path)


@pytest.mark.parametrize("name", HUBS)
def test_a_connection_cut_mid_file_is_unreachable_and_the_next_try_succeeds(
    name: str, hub: HubServer, tmp_path: Path
) -> None:
    hub.cut_bytes = 100_000
    refuse(Unreachable, f"{name}:org/model", tmp_path)
    hub.cut_bytes = None
    source = publish(f"{name}:org/model", tmp_path)
    assert (source.folder / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", HUBS)
@pytest.mark.parametrize(
    ("file_name", "data"),
    [
        ("model.safetensors", WEIGHTS[:-1] + b"!"),  # wrong content of the right size
        ("model.safetensors", WEIGHTS[:-1000]),  # a replica that holds a truncated file
        ("config.json", CHECKPOINT["config.json"].replace(b"siglip", b"siglap")),
    ],
)
def test_wrong_bytes_are_an_integrity_error_and_do_not_stay_in_the_cache(
    name: str, file_name: str, data: bytes, hub: HubServer, tmp_path: Path
) -> None:
    hub.served = {file_name: data}
    refuse(IntegrityError, f"{name}:org/model", tmp_path)
    hub.served = {}
    source = publish(f"{name}:org/model", tmp_path)
    assert (source.folder / file_name).read_bytes() == CHECKPOINT[file_name]


@pytest.mark.parametrize("name", HUBS)
def test_a_file_damaged_in_the_cache_is_found(name: str, hub: HubServer, tmp_path: Path) -> None:
    cached = (publish(f"{name}:org/model", tmp_path).folder / "config.json").resolve()
    cached.write_bytes(b'{"model_type": "siglap"}')
    # ModelScope's client finds it and fetches it again; Hugging Face's trusts its cache, rsq not.
    if name == "hf":
        with pytest.raises(IntegrityError, match=r"config\.json"):
            publish("hf:org/model", tmp_path)
    source = publish(f"{name}:org/model", tmp_path)
    assert (source.folder / "config.json").read_bytes() == CHECKPOINT["config.json"]


@pytest.mark.parametrize("name", HUBS)
def test_a_disk_without_room_is_exhausted(name: str, hub: HubServer, tmp_path: Path) -> None:
    # A limit on the size of files stands in for a full disk: write() fails the same way.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        message = refuse(Exhausted, f"{name}:org/model", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "disk is full" in message
