"""What `pull` and `import` are asked: their common options, and the request made of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.device_class import is_cpu
from rsq.errors import BadInput

if TYPE_CHECKING:
    from rsq.resolve import Request
    from rsq_agent.cache import Cache

Vram = Annotated[
    str | None,
    typer.Option(
        "--vram",
        help="Memory for the chosen artifacts together: 2GB, 512MiB. Default: no limit.",
        metavar="SIZE",
    ),
]
VramVision = Annotated[
    str | None,
    typer.Option("--vram-vision", help="Of it the vision tower at most.", metavar="SIZE"),
]
VramText = Annotated[
    str | None, typer.Option("--vram-text", help="Of it the text tower at most.", metavar="SIZE")
]
Reserve = Annotated[
    str | None,
    typer.Option(
        "--reserve",
        help="Of --vram, what is kept for collections. Default: on a CPU, their size on disk.",
        metavar="SIZE",
    ),
]
OneTower = Annotated[str | None, typer.Option("--tower", help="Only this tower: vision or text.")]
MaxBatch = Annotated[
    int, typer.Option("--max-batch", help="Largest batch to be served.", min=1, max=256)
]
WantedObjective = Annotated[
    str,
    typer.Option("--objective", help="What is best: accuracy, latency or memory.", metavar="WHAT"),
]
MinAccuracy = Annotated[
    str | None,
    typer.Option(
        "--min-accuracy",
        help="Share of FP32's best hits that must stay the best: 0.98 or 98%.",
        metavar="SHARE",
    ),
]
Pin = Annotated[
    str | None,
    typer.Option(
        "--pin",
        help="Take this variant, such as int8, whatever its accuracy and speed.",
        metavar="VARIANT",
    ),
]
PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Say what would be chosen and moved; move nothing.")
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Show the budget and the ranking behind the choice.")
]


def build_request(
    cache: Cache,
    *,
    vram: str | None,
    vram_vision: str | None,
    vram_text: str | None,
    reserve: str | None,
    tower: str | None,
    max_batch: int,
    objective: str,
    min_accuracy: str | None,
    pin: str | None,
) -> Request:
    """The options as they were typed, with the facts of this node. Raises BadInput."""
    from rsq.manifest import TOWERS
    from rsq.resolve import Objective, Request
    from rsq.units import parse_size
    from rsq_agent.node.device import find_device
    from rsq_agent.state import node_id

    towers = tuple(name for name in TOWERS if tower in (None, name))
    if not towers:
        raise BadInput(f"{tower!r} is not a tower; write --tower vision or --tower text.")
    if objective not in list(Objective):
        raise BadInput(
            f"{objective!r} is not an objective; write --objective accuracy, latency or memory."
        )
    sizes = {"vision": vram_vision, "text": vram_text}
    device = find_device()
    reserved = parse_reserve(reserve)
    if reserved is None:
        reserved = collections_bytes(cache, device.device_class)
    return Request(
        device,
        towers,
        parse_size(vram) if vram is not None else None,
        max_batch,
        pin,
        objective=Objective(objective),
        min_accuracy=parse_share(min_accuracy) if min_accuracy is not None else None,
        tower_budgets={
            name: parse_size(size) for name in towers if (size := sizes[name]) is not None
        },
        reserved_bytes=reserved,
        # A node that never pulled has measured nothing, and a plan writes nothing.
        node_id=node_id(cache) if cache.node_path.is_file() else None,
    )


def parse_reserve(text: str | None) -> int | None:
    """Bytes of --reserve, where it was given. Raises BadInput."""
    from rsq.units import parse_size

    return 0 if text == "0" else parse_size(text) if text is not None else None


def collections_bytes(cache: Cache, device_class: str) -> int:
    """What loaded collections take of the budgeted memory: their files, which are mapped
    (12,000 x 768 measured: 95 MB of files, 133 MB of memory with the library's own code); nothing
    of a GPU's."""
    from rsq_agent.collections.sparse_copy import allocated_bytes

    return allocated_bytes(cache.collections_folder) if is_cpu(device_class) else 0


def parse_share(text: str) -> float:
    """0 to 1 in "0.98" or "98%". Raises BadInput for anything else."""
    number = text.strip()
    try:
        share = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise BadInput(f"{text[:32]!r} is not a share; write one like 0.98 or 98%.")
    return share
