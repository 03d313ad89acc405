"""The serving process's side of activation: swap, remember, tell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from rsq.errors import RsqError
from rsq_agent.cache import Cache
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.serving import Serving, Swap
from rsq_agent.inference.slots import Served
from rsq_agent.inference.swap_plan import SwapPlan
from rsq_agent.meter import Meter
from rsq_agent.state import Activation, NodeState, load_state, node_id, save_state

# Requests that wait no longer than this need no notice: a load balancer would only flap.
UNNOTICED_SECONDS = 1.0


class Activator:
    """Owns active.json while the agent runs.

    `on_ready` hears whether requests are answered without a long wait, `on_change` what serves now
    where a request names no model.
    """

    def __init__(
        self,
        cache: Cache,
        serving: Serving,
        *,
        on_ready: Callable[[bool], None],
        on_change: Callable[[LiveModel], None],
        meter: Meter | None = None,
    ) -> None:
        self._cache = cache
        self._serving = serving
        self._on_ready = on_ready
        self._on_change = on_change
        self._meter = meter or Meter()
        self._lock = threading.Lock()
        self._loading = False
        self.node_id = node_id(cache)

    @property
    def active(self) -> Activation | None:
        return self._serving.current

    @property
    def state(self) -> str:
        """EMPTY, LOADING or SERVING."""
        if self._serving.current is not None:
            return "SERVING"
        return "LOADING" if self._loading else "EMPTY"

    def models(self) -> list[tuple[Served, Activation | None]]:
        """What requests may name, each with what a rollback goes back to."""
        known = load_state(self._cache).models
        return [
            (served, known[name].previous if (name := served.activation.model) in known else None)
            for served in self._serving.models()
        ]

    def start(self, activation: Activation, others: Sequence[Activation] = ()) -> LiveModel:
        """Proves and serves what active.json already names; raises as `activate` does. `others` are
        loaded when a request names them."""
        with self._lock:
            self._swap(activation, make_current=True)
        for other in others:
            self._serving.offer(other)
        with self._serving.lease() as live:
            return live

    def load(self, model: str) -> None:
        """Has `model` in memory. Raises as `Serving.lease` does."""
        with self._serving.lease(model):
            pass

    def unload(self, model: str) -> None:
        """Raises as `Serving.unload` does."""
        self._serving.unload(model)

    def plan(self, activation: Activation) -> SwapPlan:
        """What `activate` would do now."""
        return self._serving.plan(activation)

    def activate(self, activation: Activation) -> Swap:
        """Proves and swaps `activation` in, then writes active.json.

        Raises NotFound, IntegrityError, ProbeFailed, Exhausted or EnvironmentFault; what served
        before serves on.
        """
        return self._change(activation, lambda state: state.activate(activation))

    def roll_back(self, model: str | None) -> Activation:
        """Swaps in what `model`, or the current one, was before. Raises NotFound when there is
        nothing to go back to, and as `activate` does."""
        previous = load_state(self._cache).to_roll_back(model)
        self._change(previous, lambda state: state.roll_back(previous.model))
        return previous

    def _change(self, activation: Activation, next_state: Callable[[NodeState], NodeState]) -> Swap:
        with self._lock:
            state = next_state(load_state(self._cache))
            swap = self._swap(activation, make_current=state.current == activation.model)
            save_state(self._cache, state)
            return swap

    def _swap(self, activation: Activation, *, make_current: bool) -> Swap:
        self._loading = True
        try:
            swap = self._serving.activate(
                activation, make_current=make_current, on_drain=self._announce
            )
        except RsqError as e:
            self._meter.record_activation(e.code)
            raise
        finally:
            self._loading = False
            live = self._serving.model
            self._on_ready(live is not None)
        self._meter.record_activation("OK")
        if live is not None:
            self._on_change(live)
        return swap

    def _announce(self, seconds: float) -> None:
        if seconds > UNNOTICED_SECONDS:
            self._on_ready(False)
