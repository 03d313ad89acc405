"""What the agent's commands pass in; built by the CLI, which alone reads the environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_SERVER = "127.0.0.1:7100"
DEFAULT_LISTEN = "127.0.0.1:7200"


@dataclass(frozen=True)
class AgentConfig:
    home: Path  # RSQ_HOME/agent
    threads: int  # inference threads of one tower
    server: str = DEFAULT_SERVER
    listen: str = DEFAULT_LISTEN
    insecure: bool = False
    mirror: bool = False  # give what was pulled to other nodes
    readers: int = 4  # chunks in flight during a pull
    queue_items: int = 512  # waiting for a tower; more are refused
