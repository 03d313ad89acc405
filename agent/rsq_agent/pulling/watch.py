"""A model's alias, followed: what it names at the server is pulled and activated here."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from rsq.errors import BadInput, Interrupted, NotFound, ProbeFailed, RsqError
from rsq.reference import Reference, parse_reference
from rsq.rpc.endpoint import Target
from rsq.rpc.registry import RegistryClient
from rsq.units import format_seconds
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.pulling.pull_process import pull_arguments, run_pull
from rsq_agent.state import Activation, NodeState, load_state

log = logging.getLogger("rsq.agent")
LONGEST_WAIT_SECONDS = 900.0  # between two tries while the server is away
JITTER = 0.1  # of each wait, so that a fleet doesn't ask at once
# Trying again would end the same way: this node computes it wrong, or can't read it.
LASTING = (ProbeFailed, BadInput)


def parse_watched(text: str) -> Reference:
    """NAME or NAME@alias. Raises BadInput for anything else."""
    reference = parse_reference(text)
    if reference.number is not None:
        raise BadInput(
            f"{text} never changes; watch {reference.name} or {reference.name}@staging instead."
        )
    return reference


def follow(
    reference: Reference, cache: Cache, config: AgentConfig, *, agent: Target, stop: threading.Event
) -> None:
    """Follows `reference` until `stop` is set. Pulls run in processes of their own, which hand over
    to the agent at `agent` if one runs there."""

    def find_version(reference: Reference) -> int:
        with RegistryClient(config.server) as client:
            return client.version(str(reference)).version

    Watch(
        reference,
        seconds=config.watch_seconds,
        find_version=find_version,
        read_state=lambda: load_state(cache),
        pull=lambda like, version: run_pull(
            pull_arguments(cache, like, version, config, agent=agent), stop
        ),
    ).run(stop)


class Watch:
    """Follows one alias. A version that failed its probe here, or that was rolled back from, is
    left alone until the alias names another one."""

    def __init__(
        self,
        reference: Reference,
        *,
        seconds: float,
        find_version: Callable[[Reference], int],
        read_state: Callable[[], NodeState],
        pull: Callable[[Activation, int], None],
    ) -> None:
        """`find_version` asks the server; `pull` fetches, proves and activates a version with what
        was asked for in an activation. Both raise RsqError."""
        self._reference = reference
        self._seconds = seconds
        self._find_version = find_version
        self._read_state = read_state
        self._pull = pull
        self._failed_version: int | None = None
        self._failures = 0

    def run(self, stop: threading.Event) -> None:
        """Looks again and again until `stop` is set."""
        while not stop.is_set():
            jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, no secret
            stop.wait(self.look() * jitter)

    def look(self) -> float:
        """Looks once, acts on it, and returns the seconds until the next time."""
        try:
            self._follow(self._find_version(self._reference))
        except Interrupted:
            return self._seconds
        except RsqError as e:
            self._failures += 1
            longest = max(LONGEST_WAIT_SECONDS, self._seconds)
            wait = min(self._seconds * 2.0 ** min(self._failures - 1, 32), longest)
            log.warning(
                "watching %s: %s Trying again in %s.",
                self._reference,
                e.message,
                format_seconds(wait),
            )
            return wait
        if self._failures:
            log.info("watching %s again", self._reference)
        self._failures = 0
        return self._seconds

    def _follow(self, version: int) -> None:
        name = self._reference.name
        known = self._read_state().models.get(name)
        if known is None:
            raise NotFound(f"{name} is not active on this node; run: rsq-agent pull {name}")
        active = known.active
        if version in (active.version, known.abandoned_version, self._failed_version):
            return
        self._failed_version = None
        log.info("%s names version %d; pulling it", self._reference, version)
        try:
            self._pull(active, version)
        except LASTING as e:
            self._failed_version = version
            log.error(
                "%s:%d is left alone: %s Version %d serves on.",
                name,
                version,
                e.message,
                active.version,
            )
        else:
            log.info("%s:%d is active", name, version)
