"""The serving process's side of activation: swap, remember, tell."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rsq_agent.cache import Cache
from rsq_agent.serving import LiveModel, Serving
from rsq_agent.state import Activation, load_state, node_id, save_state


class Activator:
    """Owns active.json while the agent runs. `on_change` hears whether something serves now."""

    def __init__(
        self, cache: Cache, serving: Serving, *, on_change: Callable[[LiveModel | None], None]
    ) -> None:
        self._cache = cache
        self._serving = serving
        self._on_change = on_change
        self._lock = threading.Lock()
        self._loading = False
        self.node_id = node_id(cache)

    @property
    def active(self) -> Activation | None:
        model = self._serving.model
        return model.activation if model is not None else None

    @property
    def state(self) -> str:
        """EMPTY, LOADING or SERVING."""
        if self._serving.model is not None:
            return "SERVING"
        return "LOADING" if self._loading else "EMPTY"

    def activate(self, activation: Activation) -> None:
        """Proves and swaps `activation` in, then writes active.json.

        Raises NotFound, IntegrityError, ProbeFailed or EnvironmentFault; the old one keeps serving.
        """
        with self._lock:
            model = self._swap(activation)
            save_state(self._cache, load_state(self._cache).activate(activation))
        self._on_change(model)

    def start(self, activation: Activation) -> LiveModel:
        """Proves and serves what active.json already names; raises as `activate` does."""
        with self._lock:
            model = self._swap(activation)
        self._on_change(model)
        return model

    def _swap(self, activation: Activation) -> LiveModel:
        self._loading = True
        try:
            return self._serving.activate(activation)
        finally:
            self._loading = False
