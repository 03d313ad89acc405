"""`rsq-server trust init | sign | withdraw | rotate | revoke | extend | refresh | status`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsq.connection_options import calls_server, server_endpoint
from rsq.errors import BadInput
from rsq_server.cli.options import Json, Server, build_config
from rsq_server.cli.output import print_json, print_table

if TYPE_CHECKING:
    from rsq_server.signing.keys import Signers
    from rsq_server.signing.repository import Change, Repository

EPILOG = """Examples:

rsq-server trust init --keys /media/keys

rsq-server trust sign git-rsclip-base:3 --keys /media/keys --server registry:7100

rsq-server trust refresh --keys /etc/rsq/timestamp-key --passphrase-file /etc/rsq/passphrase

rsq-server trust rotate timestamp --keys /media/keys"""

trust = typer.Typer(
    help="Sign what nodes may run, and look after the keys that do.",
    epilog=EPILOG,
    no_args_is_help=True,
)

Keys = Annotated[
    Path, typer.Option("--keys", help="The folder of keys (*.pem), not on the serving host.")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", help="The keys' passphrase. Default: asked for.", metavar="FILE"
    ),
]
KeysHere = Annotated[
    bool,
    typer.Option("--keys-here", help="Allow keys inside the server's own data folder."),
]


@trust.command(epilog="Example:\n\nrsq-server trust init --keys /media/keys --root-keys 3")
@calls_server
def init(
    keys: Keys,
    root_keys: Annotated[int, typer.Option("--root-keys", min=1, max=16)] = 3,
    root_threshold: Annotated[int, typer.Option("--root-threshold", min=1, max=16)] = 2,
    targets_keys: Annotated[int, typer.Option("--targets-keys", min=1, max=16)] = 1,
    targets_threshold: Annotated[int, typer.Option("--targets-threshold", min=1, max=16)] = 1,
    passphrase_file: PassphraseFile = None,
    keys_here: KeysHere = False,
    server: Server = None,
) -> None:
    """Make the keys and an empty repository."""
    from rsq_server.signing.keys import make_key

    numbers = {"root": root_keys, "targets": targets_keys, "snapshot": 1, "timestamp": 1}
    thresholds = {
        "root": root_threshold,
        "targets": targets_threshold,
        "snapshot": 1,
        "timestamp": 1,
    }
    for role, threshold in thresholds.items():
        if threshold > numbers[role]:
            raise BadInput(f"{role}: {threshold} of {numbers[role]} keys can't sign.")
    folder = _keys_folder(keys, keys_here=keys_here)
    with _open_repository(server) as repository:
        repository.require_new()
        passphrase = _passphrase(passphrase_file, confirm=True)
        made = {
            role: {
                key.public_key.keyid: key
                for key in (
                    make_key(folder, f"{role}-{number}", passphrase)
                    for number in range(1, numbers[role] + 1)
                )
            }
            for role in numbers
        }
        repository.initialize(made, thresholds)
        path = repository.files.folder / "1.root.json"
    print(f"Made {sum(numbers.values())} keys in {folder}; spread the root's over several places.")
    print(f"Give nodes this file by a way you trust: {path}")


@trust.command(epilog="Example:\n\nrsq-server trust sign git-rsclip-base:3 --keys /media/keys")
@calls_server
def sign(
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="NAME or NAME:3. Without it: sign what waits for signatures."
        ),
    ] = None,
    keys: Keys = Path("keys"),
    passphrase_file: PassphraseFile = None,
    keys_here: KeysHere = False,
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Sign versions with their evaluations and aliases, so that nodes may pull them."""
    from rsq_server.signing.versions import sign_versions

    signers = _load(keys, passphrase_file, keys_here=keys_here)
    with _open_repository(server) as repository:
        if reference is None:
            change = repository.add_signatures(signers)
        else:
            with _open_signed_registry(server) as (registry, manifest):
                change = sign_versions(repository, registry, reference, signers, manifest=manifest)
    _report(change, f"{reference or 'What waited'} is signed.", as_json=as_json)


@trust.command(epilog="Example:\n\nrsq-server trust withdraw git-rsclip-base:2 --keys /media/keys")
@calls_server
def withdraw(
    reference: Annotated[str, typer.Argument(metavar="NAME:2")],
    keys: Keys = Path("keys"),
    passphrase_file: PassphraseFile = None,
    keys_here: KeysHere = False,
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Take a version's signature back: nodes no longer pull it. What serves goes on serving."""
    from rsq_server.signing.versions import withdraw_version

    signers = _load(keys, passphrase_file, keys_here=keys_here)
    with _open_repository(server) as repository:
        change = withdraw_version(repository, reference, signers)
    _report(change, f"{reference} is no longer signed.", as_json=as_json)


@trust.command(epilog="Example:\n\nrsq-server trust rotate timestamp --keys /media/keys")
@calls_server
def rotate(
    role: Annotated[str, typer.Argument(metavar="ROLE")],
    key: Annotated[
        str | None,
        typer.Option("--key", help="The key to replace, by the beginning of its id."),
    ] = None,
    keys: Keys = Path("keys"),
    passphrase_file: PassphraseFile = None,
    keys_here: KeysHere = False,
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Replace a key of root, targets, snapshot or timestamp by a new one."""
    from rsq_server.signing.key_changes import free_name, rotate_key
    from rsq_server.signing.keys import load_keys, make_key

    folder = _keys_folder(keys, keys_here=keys_here)
    passphrase = _passphrase(passphrase_file)
    signers = load_keys(folder, passphrase)
    with _open_repository(server) as repository:
        replace = rotate_key(repository.current("root").signed, role, key)
        new = make_key(folder, free_name(folder, role), passphrase)
        change = repository.change_root(
            lambda root: replace(root, new.public_key),
            {**signers, new.public_key.keyid: new},
        )
    _report(change, f"{role} has a new key.", as_json=as_json)


@trust.command(epilog="Example:\n\nrsq-server trust revoke root 3f2a --keys /media/keys")
@calls_server
def revoke(
    role: Annotated[str, typer.Argument(metavar="ROLE")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="The beginning of its id.")],
    keys: Keys = Path("keys"),
    passphrase_file: PassphraseFile = None,
    keys_here: KeysHere = False,
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Take a key away from a role, without another in its place."""
    from rsq_server.signing.key_changes import revoke_key

    signers = _load(keys, passphrase_file, keys_here=keys_here)
    with _open_repository(server) as repository:
        remove = revoke_key(repository.current("root").signed, role, key)
        change = repository.change_root(remove, signers)
    _report(change, f"That key no longer signs {role}.", as_json=as_json)


@trust.command(epilog="Example:\n\nrsq-server trust extend root --keys /media/keys")
@calls_server
def extend(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="root or targets.")],
    keys: Keys = Path("keys"),
    passphrase_file: PassphraseFile = None,
    keys_here: KeysHere = False,
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Sign the root or the targets for another year, without any change."""
    if role not in ("root", "targets"):
        raise BadInput(f"{role[:40]!r} can't be extended; write root or targets, or run refresh.")
    signers = _load(keys, passphrase_file, keys_here=keys_here)
    with _open_repository(server) as repository:
        if role == "root":
            change = repository.change_root(lambda root: None, signers)
        else:
            change = repository.change_targets(lambda targets: None, signers)
    _report(change, f"{role} is signed for another year.", as_json=as_json)


@trust.command(epilog="Example:\n\nrsq-server trust refresh --keys /etc/rsq/keys --days 14")
@calls_server
def refresh(
    keys: Keys = Path("keys"),
    days: Annotated[
        int, typer.Option("--days", help="How long nodes may rely on it.", min=1, max=365)
    ] = 7,
    passphrase_file: PassphraseFile = None,
    keys_here: KeysHere = False,
    server: Server = None,
) -> None:
    """Sign a new timestamp: say that nothing has changed. Run it daily."""
    signers = _load(keys, passphrase_file, keys_here=keys_here)
    with _open_repository(server) as repository:
        repository.renew(signers, days=days)
        expires = repository.current("timestamp").signed.expires
    print(f"Nodes may rely on the metadata until {expires:%Y-%m-%d %H:%M} UTC.")


@trust.command(epilog="Example:\n\nrsq-server trust status --json")
@calls_server
def status(server: Server = None, as_json: Json = False) -> None:
    """Show roles, keys, expiry and what waits for signatures."""
    from rsq_server.signing.key_changes import describe

    with _open_repository(server) as repository:
        rows = describe(repository)
    if as_json:
        print_json({"roles": rows})
        return
    print_table([{key: str(value) for key, value in row.items()} for row in map(_flat, rows)])


def _flat(row: dict[str, Any]) -> dict[str, str]:
    return {
        "role": row["role"],
        "version": str(row["version"]),
        "expires": row["expires"],
        "signatures": f"{row['threshold']} of {len(row['keys'])}",
        "keys": " ".join(key[:8] for key in row["keys"]),
        "waiting": f"{row['missing']} more to sign" if row["missing"] else "",
    }


def _report(change: Change, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"missing_signatures": change.missing})
    elif change.missing:
        for role, count in change.missing.items():
            print(f"{role} waits for {count} more signatures; add them with: rsq-server trust sign")
    else:
        print(done)


def _keys_folder(keys: Path, *, keys_here: bool) -> Path:
    folder = keys.expanduser().absolute()
    home = build_config().home
    if not keys_here and folder.resolve().is_relative_to(home.resolve()):
        raise BadInput(
            f"{folder} is inside the server's data folder, where a thief of the server finds the "
            "keys too. Keep them elsewhere, or say --keys-here."
        )
    return folder


def _passphrase(file: Path | None, *, confirm: bool = False) -> str:
    from rsq.durable import disk_failures
    from rsq_server.signing.keys import check_passphrase

    if file is None:
        return check_passphrase(
            typer.prompt("Passphrase of the keys", hide_input=True, confirmation_prompt=confirm)
        )
    with disk_failures(f"{file} can't be read"):
        return check_passphrase(file.read_text().rstrip("\r\n"))


def _load(keys: Path, passphrase_file: Path | None, *, keys_here: bool) -> Signers:
    from rsq_server.signing.keys import load_keys

    return load_keys(_keys_folder(keys, keys_here=keys_here), _passphrase(passphrase_file))


@contextmanager
def _open_repository(server: str | None) -> Iterator[Repository]:
    """The repository in the data folder, or the one of the server at HOST:PORT."""
    from rsq_server.signing.repository import Repository

    config = build_config()
    if server is None:
        yield Repository(config.trust_folder)
        return
    from rsq.rpc.trust import TrustClient
    from rsq_server.signing.remote import RemoteRepository

    folder = config.home / "trust-elsewhere" / server.replace(":", "_").replace("/", "_")
    with TrustClient(server_endpoint(server)) as client, RemoteRepository(client, folder) as remote:
        yield remote.repository


@contextmanager
def _open_signed_registry(server: str | None) -> Iterator[tuple[Any, Any]]:
    """The registry, and what gives its manifests by artifact id."""
    if server is not None:
        from rsq.rpc.registry import RegistryClient

        with RegistryClient(server_endpoint(server)) as client:
            yield client, client.manifest
        return
    from rsq_server.app import open_stores
    from rsq_server.cli.registry import LocalRegistry

    with open_stores(build_config()) as stores:
        yield LocalRegistry(stores.catalogue), stores.catalogue.artifact_manifest
