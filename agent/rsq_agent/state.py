"""active.json: what serves now, what served before; and node.json: who this node is."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rsq.digest import require_digest
from rsq.durable import disk_failures, write_durably
from rsq.errors import EnvironmentFault, NotFound, RsqError
from rsq_agent.cache import Cache

STATE_SCHEMA = 2  # 1 had no measurements, no wishes and no abandoned version


@dataclass(frozen=True)
class Wishes:
    """What decides what fits and which of it is taken, as `pull` was asked."""

    objective: str | None = None
    min_accuracy: float | None = None
    pin: str | None = None
    vision_budget_bytes: int | None = None
    text_budget_bytes: int | None = None
    reserve_bytes: int | None = None  # None: what the collections take when it is asked


@dataclass(frozen=True)
class Activation:
    """One set of artifacts that proved itself on this node, what was measured of it here, and what
    was asked for, so that the next version is chosen alike."""

    model: str
    version: int
    artifacts: tuple[str, ...]
    providers: tuple[str, ...]  # one an artifact
    max_batch: int
    budget_bytes: int | None = None
    peak_bytes: int | None = None  # of all artifacts together
    load_seconds: float | None = None  # of all artifacts one after the other
    wishes: Wishes = Wishes()


@dataclass(frozen=True)
class ModelState:
    active: Activation
    previous: Activation | None = None
    # Rolled back from: `watch` leaves it alone until the alias names another one.
    abandoned_version: int | None = None


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
        if before is None:
            entry = ModelState(activation)
        elif _served(before.active) != _served(activation):
            entry = ModelState(activation, before.active)
        else:
            entry = replace(before, active=activation)
        return replace(
            self, current=activation.model, models={**self.models, activation.model: entry}
        )

    def to_roll_back(self, model: str | None) -> Activation:
        """What `model`, or the current one, goes back to. Raises NotFound."""
        active = self.activation(model)
        previous = self.models[active.model].previous
        if previous is None:
            raise NotFound(
                f"There is nothing to go back to: {active.model}:{active.version} is the first "
                f"version of {active.model} that was active on this node."
            )
        return previous

    def roll_back(self, model: str | None) -> NodeState:
        """The state after going back; a second time goes forward again. The current model stays the
        current one. Raises NotFound."""
        previous = self.to_roll_back(model)
        active = self.models[previous.model].active
        entry = ModelState(previous, active, abandoned_version=active.version)
        return replace(self, models={**self.models, previous.model: entry})


def load_state(cache: Cache) -> NodeState:
    """Raises EnvironmentFault when active.json can't be read or is of a newer release."""
    try:
        fields = json.loads(cache.state_path.read_bytes())
    except FileNotFoundError:
        return NodeState()
    except (OSError, ValueError, RecursionError) as e:
        raise EnvironmentFault(f"{cache.state_path} can't be read; pull again.") from e
    try:
        if fields["schema"] > STATE_SCHEMA:
            raise EnvironmentFault(f"{cache.state_path} is of a newer release; upgrade rsq-agent.")
        models = {
            name: ModelState(
                _activation(entry["active"]),
                _activation(entry["previous"]) if entry["previous"] else None,
                entry.get("abandoned_version"),
            )
            for name, entry in fields["models"].items()
        }
        current = fields["current"]
        return NodeState(None if current is None else str(current), models)
    except EnvironmentFault:
        raise
    except (ArithmeticError, ValueError, KeyError, TypeError, AttributeError, RsqError) as e:
        raise EnvironmentFault(f"{cache.state_path} is malformed; pull again.") from e


def save_state(cache: Cache, state: NodeState) -> None:
    """Replaces active.json at once. Raises Exhausted or EnvironmentFault; it is then as it was, or
    as it should be."""
    data = json.dumps({"schema": STATE_SCHEMA, **asdict(state)}, indent=1, sort_keys=True)
    with disk_failures(f"{cache.state_path} can't be written"):
        write_durably(cache.state_path, data.encode())


def _served(activation: Activation) -> tuple[int, tuple[str, ...]]:
    """What tells two activations of a model apart; the rest is how they are run."""
    return activation.version, activation.artifacts


def _activation(fields: dict[str, Any]) -> Activation:
    return Activation(
        model=str(fields["model"]),
        version=int(fields["version"]),
        artifacts=tuple(require_digest(item) for item in fields["artifacts"]),
        providers=tuple(str(item) for item in fields["providers"]),
        max_batch=int(fields["max_batch"]),
        budget_bytes=None if fields["budget_bytes"] is None else int(fields["budget_bytes"]),
        peak_bytes=fields.get("peak_bytes"),
        load_seconds=fields.get("load_seconds"),
        wishes=Wishes(**fields.get("wishes", {})),
    )


def node_id(cache: Cache) -> str:
    """This node's id: made once, then kept."""
    try:
        return str(json.loads(cache.node_path.read_bytes())["node_id"])
    except FileNotFoundError:
        made = uuid.uuid4().hex
        with disk_failures(f"{cache.node_path} can't be written"):
            write_durably(cache.node_path, json.dumps({"node_id": made}).encode())
        return made
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise EnvironmentFault(f"{cache.node_path} can't be read; restore or delete it.") from e
