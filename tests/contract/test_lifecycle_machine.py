"""The registry never differs from a plain model of it, whatever the order of the steps."""

from __future__ import annotations

from contract.lifecycle_machine import LifecycleMachine
from hypothesis import HealthCheck, settings

LifecycleMachine.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLifecycle = LifecycleMachine.TestCase
