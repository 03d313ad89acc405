"""`rsq-agent trust pin | status | why | policy | waive`."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rsq_agent.cli.options import Json, home_folder

EPILOG = """Examples:

rsq-agent trust pin root.json

rsq-agent trust status

rsq-agent trust why git-rsclip-base@production

rsq-agent trust policy --grace 14

rsq-agent trust waive --days 7 --reason "the signer is ill until Monday" """

trust = typer.Typer(
    help="Decide what this node may run: only what a pinned root vouches for.",
    epilog=EPILOG,
    no_args_is_help=True,
)


@trust.command(epilog="Example:\n\nrsq-agent trust pin root.json")
def pin(
    file: Annotated[Path, typer.Argument(metavar="ROOT.json", help="From someone you trust.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Give up the root that is pinned now.")
    ] = False,
) -> None:
    """Trust a root: from then on only what is signed is pulled."""
    from rsq_agent.trust.folder import TrustFolder, read_root_file

    TrustFolder(home_folder()).pin(read_root_file(file), replace=replace)
    print("The root is pinned: this node now takes only what is signed.")


@trust.command(epilog="Example:\n\nrsq-agent trust status --json")
def status(as_json: Json = False) -> None:
    """Show the root, the newest verified metadata, and what the operator decided."""
    from rsq.updates.refresh import read_seen
    from rsq_agent.trust.folder import TrustFolder

    folder = TrustFolder(home_folder())
    now = datetime.now(UTC)
    policy, floor = folder.policy(), folder.floor()
    waiver = policy.waiver(now)
    seen = read_seen(folder.metadata)
    fields = {
        "pinned": folder.is_pinned,
        "require_signed": folder.is_pinned and policy.require_signed,
        "grace_days": policy.grace_days,
        "waived_until": None if waiver is None else waiver.until.isoformat(),
        "signed_at": None if floor is None else floor.isoformat(),
        "versions": seen.versions,
        "waivers": [
            {
                "at": one.at.isoformat(),
                "until": one.until.isoformat(),
                "by": one.by,
                "reason": one.reason,
            }
            for one in policy.waivers
        ],
    }
    if as_json:
        print(json.dumps(fields, indent=2))
        return
    if not folder.is_pinned:
        print(
            "No root is pinned: this node takes what its server offers. Pin one: rsq-agent trust "
            "pin ROOT.json"
        )
        return
    print("Takes only what is signed." if policy.require_signed else "Takes unsigned versions too.")
    versions = ", ".join(f"{role} {number}" for role, number in seen.versions.items())
    print(f"Verified: {versions or 'nothing yet'}; signed at {fields['signed_at'] or 'no time'}.")
    print(f"After metadata has expired: {_describe_grace(policy.grace_days)}.")
    for one in policy.waivers:
        print(f"Waiver by {one.by} from {one.at:%Y-%m-%d} until {one.until:%Y-%m-%d}: {one.reason}")


@trust.command(epilog="Example:\n\nrsq-agent trust why git-rsclip-base@production")
def why(
    reference: Annotated[str, typer.Argument(metavar="NAME", help="NAME, NAME:3 or NAME@alias.")],
    as_json: Json = False,
) -> None:
    """Show what was signed of a version: who promoted it when, how it measured, where it came from.
    Works without a network."""
    from rsq_agent.trust.folder import TrustFolder
    from rsq_agent.trust.promotion import explain
    from rsq_agent.trust.updating import Trust

    fields = explain(Trust(TrustFolder(home_folder())).recall().find, reference)
    if as_json:
        print(json.dumps(fields, indent=2))
        return
    print(
        f"{fields['model']}:{fields['version']}, published {fields['created_at']} from "
        f"{fields['source']}"
    )
    for name, event in fields["aliases"].items():
        print(f"  {name} since {event['at']}, by {event['by']}")
    for row in fields["artifacts"]:
        metrics = row["evaluation"]["metrics"] if row["evaluation"] else {}
        measured = ", ".join(f"{key} {value:.4g}" for key, value in sorted(metrics.items())[:4])
        print(f"  {row['tower']} {row['variant']} {row['id'][:12]}: {measured or 'not measured'}")


@trust.command(epilog="Example:\n\nrsq-agent trust policy --grace 14")
def policy(
    grace: Annotated[
        int | None,
        typer.Option(
            "--grace", help="Take metadata that expired so long ago; 0: never.", metavar="DAYS"
        ),
    ] = None,
    require_signed: Annotated[
        bool | None,
        typer.Option(
            "--require-signed/--allow-unsigned", help="Whether unsigned versions are refused."
        ),
    ] = None,
) -> None:
    """Decide how strict this node is. Default: unsigned and expired are both refused."""
    from dataclasses import replace

    from rsq_agent.trust.folder import TrustFolder

    folder = TrustFolder(home_folder())
    changed = folder.policy()
    if grace is not None:
        changed = changed.with_grace(grace)
    if require_signed is not None:
        changed = replace(changed, require_signed=require_signed)
    folder.save_policy(changed)
    signed = "refused" if changed.require_signed else "taken"
    print(
        f"Unsigned versions are {signed}. Expired metadata: {_describe_grace(changed.grace_days)}."
    )


@trust.command(epilog='Example:\n\nrsq-agent trust waive --days 7 --reason "signer on leave"')
def waive(
    days: Annotated[int, typer.Option("--days", help="How long it lasts.", metavar="DAYS")] = 0,
    reason: Annotated[str, typer.Option("--reason", help="Kept on record.")] = "",
    end: Annotated[bool, typer.Option("--end", help="End the waiver that is in force.")] = False,
) -> None:
    """Take expired metadata for some days. Signatures and versions are checked as ever."""
    from rsq_agent.trust.folder import TrustFolder

    folder = TrustFolder(home_folder())
    now = datetime.now(UTC)
    if end:
        folder.save_policy(folder.policy().end_waivers(now))
        print("No waiver is in force.")
        return
    changed = folder.policy().waive(now, days=days, reason=reason, by=_user())
    folder.save_policy(changed)
    print(f"Expired metadata is taken until {changed.waivers[-1].until:%Y-%m-%d %H:%M} UTC.")


def _describe_grace(days: int) -> str:
    return f"taken for {days} more days" if days else "refused at once"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "a user without a name"
