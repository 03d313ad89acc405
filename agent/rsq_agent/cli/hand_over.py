"""The last step of `pull`: what was proved becomes active, in the running agent or for the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from rsq.records import Profile
from rsq.rpc.agent import Wanted, activate, find_agent, plan_activation
from rsq.rpc.endpoint import Target
from rsq.units import format_seconds
from rsq_agent.cache import Cache
from rsq_agent.state import Activation, load_state, save_state


def hand_over(
    cache: Cache,
    activation: Activation,
    profiles: Sequence[Profile],
    *,
    agent: Target,
    console: Console,
) -> None:
    """Activates what `profiles` were measured of on this node. A running agent at `agent`
    first says how long requests will wait. Raises what the agent raises."""
    measured = [[p for p in profiles if p.artifact_id == item] for item in activation.artifacts]
    peaks = tuple(max(profile.peak_bytes for profile in found) for found in measured)
    seconds = sum(max(profile.load_ms for profile in found) for found in measured) / 1000
    if find_agent(agent) is None:
        proved = replace(activation, peak_bytes=sum(peaks), load_seconds=seconds)
        save_state(cache, load_state(cache).activate(proved))
        return
    wanted = Wanted(
        model=activation.model,
        version=activation.version,
        artifact_ids=activation.artifacts,
        providers=activation.providers,
        max_batch=activation.max_batch,
        budget_bytes=activation.budget_bytes,
        peak_bytes=peaks,
        load_seconds=seconds,
        objective=activation.wishes.objective,
        min_accuracy=activation.wishes.min_accuracy,
        pin=activation.wishes.pin,
        vision_budget_bytes=activation.wishes.vision_budget_bytes,
        text_budget_bytes=activation.wishes.text_budget_bytes,
        reserve_bytes=activation.wishes.reserve_bytes,
    )
    plan = plan_activation(agent, **wanted)
    if not plan.side_by_side:
        wait = format_seconds(plan.downtime_seconds)
        console.print(f"{plan.reason} Requests will wait about {wait} while it is replaced.")
    swap = activate(agent, **wanted)
    waited = (
        "" if swap.side_by_side else f"; requests waited {format_seconds(swap.downtime_seconds)}"
    )
    console.print(f"The agent at {agent} serves it now{waited}.")
