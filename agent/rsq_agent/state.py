"""active.json: what serves now, what served before; and node.json: who this node is."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rsq.digest import require_digest
from rsq.durable import write_durably
from rsq.errors import EnvironmentFault, NotFound, RsqError
from rsq_agent.cache import Cache

STATE_SCHEMA = 1


@dataclass(frozen=True)
class Activation:
    """One set of artifacts that proved itself on this node."""

    model: str
    version: int
    artifacts: tuple[str, ...]
    providers: tuple[str, ...]  # one an artifact
    max_batch: int
    budget_bytes: int | None = None


@dataclass(frozen=True)
class ModelState:
    active: Activation
    previous: Activation | None = None


@dataclass(frozen=True)
class NodeState:
    current: str | None = None  # the model that `serve` takes when none is named
    models: dict[str, ModelState] = field(default_factory=dict)

    def activation(self, model: str | None) -> Activation:
        """What to serve for `model`, or for the current one. Raises NotFound."""
        name = model or self.current
        if name is None or name not in self.models:
            what = f"{name!r} is not active" if name else "Nothing is active"
            raise NotFound(f"{what} on this node; run: rsq-agent pull {name or 'NAME'}")
        return self.models[name].active

    def activate(self, activation: Activation) -> NodeState:
        """The state after `activation`; what it replaces is kept for a rollback."""
        before = self.models.get(activation.model)
        previous = before.previous if before else None
        if before is not None and before.active.artifacts != activation.artifacts:
            previous = before.active
        entry = ModelState(activation, previous)
        return replace(
            self, current=activation.model, models={**self.models, activation.model: entry}
        )


def load_state(cache: Cache) -> NodeState:
    """Raises EnvironmentFault when active.json can't be read or is of a newer release."""
    try:
        fields = json.loads(cache.state_path.read_bytes())
    except FileNotFoundError:
        return NodeState()
    except (OSError, ValueError) as e:
        raise EnvironmentFault(f"{cache.state_path} can't be read; pull again.") from e
    try:
        if fields["schema"] > STATE_SCHEMA:
            raise EnvironmentFault(f"{cache.state_path} is of a newer release; upgrade rsq-agent.")
        models = {
            name: ModelState(
                _activation(entry["active"]),
                _activation(entry["previous"]) if entry["previous"] else None,
            )
            for name, entry in fields["models"].items()
        }
        return NodeState(fields["current"], models)
    except (KeyError, TypeError, AttributeError, RsqError) as e:
        if isinstance(e, EnvironmentFault):
            raise
        raise EnvironmentFault(f"{cache.state_path} is malformed; pull again.") from e


def save_state(cache: Cache, state: NodeState) -> None:
    data = json.dumps({"schema": STATE_SCHEMA, **asdict(state)}, indent=1, sort_keys=True)
    write_durably(cache.state_path, data.encode())


def _activation(fields: dict[str, Any]) -> Activation:
    return Activation(
        model=str(fields["model"]),
        version=int(fields["version"]),
        artifacts=tuple(require_digest(item) for item in fields["artifacts"]),
        providers=tuple(str(item) for item in fields["providers"]),
        max_batch=int(fields["max_batch"]),
        budget_bytes=None if fields["budget_bytes"] is None else int(fields["budget_bytes"]),
    )


def node_id(cache: Cache) -> str:
    """This node's id: made once, then kept."""
    try:
        return str(json.loads(cache.node_path.read_bytes())["node_id"])
    except FileNotFoundError:
        made = uuid.uuid4().hex
        write_durably(cache.node_path, json.dumps({"node_id": made}).encode())
        return made
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise EnvironmentFault(f"{cache.node_path} can't be read; restore or delete it.") from e
