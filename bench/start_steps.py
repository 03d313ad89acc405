"""What a start of the agent does, one step after the other and timed: `start_steps.py AGENT_HOME`.
Prints JSON, seconds by step."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

seconds: dict[str, float] = {}


@contextmanager
def step(name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began


def main() -> None:
    with step("import rsq_agent.app"):
        import rsq_agent.app  # noqa: F401
    with step("import onnxruntime"):
        import onnxruntime  # noqa: F401
    from rsq.encoder import Encoder
    from rsq.probe import decode_probe, judge, prepare, replay
    from rsq_agent.cache import Cache
    from rsq_agent.node.device import find_device
    from rsq_agent.state import load_state

    with step("find the device"):
        find_device()
    cache = Cache(Path(sys.argv[1]))
    for artifact in load_state(cache).activation(None).artifacts:
        tower = cache.manifest(artifact).tower
        with step(f"{tower}: hash the files"):
            manifest = cache.verify_artifact(artifact)
        folder = cache.artifact_folder(artifact)
        with step(f"{tower}: load"):
            encoder = Encoder(folder, manifest, threads=2)
        probe = decode_probe((folder / manifest.file("probe").name).read_bytes())
        with step(f"{tower}: prepare the probe"):
            prepare(encoder, probe)
        with step(f"{tower}: replay the probe"):
            result = replay(encoder, probe)
        judge(result, manifest.probe)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
