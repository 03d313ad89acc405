"""`rsq-agent doctor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from rsq.connection_options import agent_endpoint, server_endpoint
from rsq_agent.cli.options import AgentAddress, Json, Server, build_config
from rsq_agent.config import DEFAULT_LISTEN, DEFAULT_SERVER

if TYPE_CHECKING:
    from rsq_agent.node.node_checks import Check

EPILOG = """Examples:

rsq-agent doctor

rsq-agent doctor --server registry:7100 --json"""

FAILED_EXIT = 13  # as an environment fault


def doctor(
    server: Server = DEFAULT_SERVER,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Look at driver, runtime, providers, clock, disk and server, and say what to do."""
    from rsq.rpc.addresses import split_address
    from rsq_agent.node.node_checks import State, judge_node
    from rsq_agent.node.node_survey import collect_facts

    for address in (server, agent):
        split_address(address)
    checks = judge_node(
        collect_facts(build_config(server=server_endpoint(server), agent=agent_endpoint(agent)))
    )
    if as_json:
        print(json.dumps({"checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _print_table(checks)
    if any(check.state == State.FAIL for check in checks):
        raise typer.Exit(FAILED_EXIT)


def _print_table(checks: Sequence[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{check.state:4}  {check.name:{width}}  {check.message}")
