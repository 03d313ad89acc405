"""`token create|list|revoke`, the same for both programs. Only they import this: it needs typer."""

# Annotations are evaluated where they stand, since those of the inner functions use what encloses
# them.
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from rsq.errors import EnvironmentFault
from rsq.tokens import Scope, StoredToken, TokenStore, make_token

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
WHAT_SCOPES_ALLOW = {
    "server": "publish, pull, report or admin, which allows everything",
    "agent": "embed, search, publish (index images), pull (with --mirror), report (metrics) or "
    "admin, which allows everything",
}


def make_token_app(
    program: str, open_store: Callable[[], AbstractContextManager[TokenStore]]
) -> typer.Typer:
    """The commands of `rsq-server` or `rsq-agent` over the tokens that `open_store` opens."""
    kind = program.removeprefix("rsq-")
    app = typer.Typer(help=f"Say who may call this {kind}, and for what.", no_args_is_help=True)

    @app.command(epilog=_examples(program, kind))
    def create(
        name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token it is.")],
        scopes: Annotated[
            list[Scope],
            typer.Option(
                "--scope",
                help=f"What it allows: {WHAT_SCOPES_ALLOW[kind]}; may be repeated.",
                metavar="SCOPE",
            ),
        ],
        days: Annotated[
            float | None,
            typer.Option("--days", help="When it expires. Default: never.", min=0, max=36500),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(
                "--out",
                help="Write the token into this new file, for its owner alone, instead of "
                "printing it.",
                metavar="FILE",
            ),
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Make a token. It is shown this once; only a hash is kept."""
        now = datetime.now(UTC)
        expires_at = now + timedelta(days=days) if days is not None else None
        text, token = make_token(name, scopes, expires_at=expires_at, now=now)
        with open_store() as store, _written(out, text):
            store.add(token)
        if as_json:
            shown = {} if out is not None else {"token": text}
            print(json.dumps({**_to_json(token, now), **shown}, indent=2))
            return
        if out is None:
            print(text)
        where = f"in {out}" if out is not None else "above; it can't be shown again"
        print(f"The token of {token.name} ({_scopes(token)}) is {where}.", file=sys.stderr)

    @app.command("list", epilog=f"Example:\n\n{program} token list --json")
    def list_tokens(as_json: Json = False) -> None:
        """List the tokens, without their secrets."""
        now = datetime.now(UTC)
        with open_store() as store:
            tokens = store.tokens()
        if as_json:
            print(json.dumps({"tokens": [_to_json(token, now) for token in tokens]}, indent=2))
        elif tokens:
            _print_table(tokens, now)
        else:
            print(f"No tokens yet. Make one: {program} token create NAME --scope pull")

    @app.command(epilog=f"Example:\n\n{program} token revoke laptop")
    def revoke(
        name: Annotated[str, typer.Argument(metavar="NAME", help="Its name or its id.")],
        as_json: Json = False,
    ) -> None:
        """Refuse a token from now on. A running program does so within seconds."""
        now = datetime.now(UTC)
        with open_store() as store:
            token = store.revoke(name, now)
        if as_json:
            print(json.dumps(_to_json(token, now), indent=2))
        else:
            print(f"The token of {token.name} ({token.id}) is revoked.")

    return app


@contextmanager
def _written(path: Path | None, text: str) -> Iterator[None]:
    """A new file with the token, for the block and, where that ends well, from then on. Raises
    EnvironmentFault for a file that is there already or can't be written."""
    if path is None:
        yield
        return
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as e:
        raise EnvironmentFault(f"{path} is there already; choose another file.") from e
    except OSError as e:
        raise EnvironmentFault(f"{path} can't be written ({e.strerror}).") from e
    try:
        with os.fdopen(file, "w") as opened:
            opened.write(text + "\n")
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _examples(program: str, kind: str) -> str:
    scopes = "--scope pull --scope report" if kind == "server" else "--scope search"
    name = "node-7" if kind == "server" else "web-shop"
    return (
        f"Examples:\n\n{program} token create {name} {scopes} --days 365\n\n"
        f"{program} token create {name} {scopes} --out {name}.token"
    )


def _print_table(tokens: list[StoredToken], now: datetime) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title in ("name", "id", "scopes", "made", "expires", "state"):
        table.add_column(title, overflow="fold")
    for token in tokens:
        expires = f"{token.expires_at:%Y-%m-%d %H:%M}" if token.expires_at else "never"
        made = f"{token.created_at:%Y-%m-%d %H:%M}"
        cells = (token.name, token.id, _scopes(token), made, expires, _state(token, now))
        table.add_row(*(Text(cell) for cell in cells))
    console = Console()
    if not console.is_terminal:
        console.width = 1000  # rows are never folded
    console.print(table)


def _to_json(token: StoredToken, now: datetime) -> dict[str, Any]:
    def text(moment: datetime | None) -> str | None:
        return moment.isoformat(timespec="seconds") if moment is not None else None

    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created_at": text(token.created_at),
        "expires_at": text(token.expires_at),
        "revoked_at": text(token.revoked_at),
        "state": _state(token, now),
    }


def _state(token: StoredToken, now: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "good" if token.is_good(now) else "expired"


def _scopes(token: StoredToken) -> str:
    return ", ".join(sorted(token.scopes))
