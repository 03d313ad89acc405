"""`rsq-agent classify`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.errors import BadInput
from rsq_agent.cli.options import AgentAddress, Json
from rsq_agent.config import DEFAULT_LISTEN

if TYPE_CHECKING:
    from rsq.classification import LabelScore
    from rsq.client import Client

EPILOG = """Examples:

rsq-agent classify tile.jpg --labels port,forest,river

rsq-agent classify ~/scenes --labels labels.txt --template "a satellite image of {}" --top 3"""

MAX_LABELS_FILE_BYTES = 1 << 20
_IMAGES_PER_CALL = 16


def classify(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images and folders.")],
    labels: Annotated[
        str,
        typer.Option(
            "--labels", help="A file with one label a line, or labels.", metavar="FILE|a,b,c"
        ),
    ],
    template: Annotated[
        str, typer.Option("--template", help="The text of a label, with one {} in its place.")
    ] = "",
    top: Annotated[
        int, typer.Option("--top", help="Labels to show an image; 0: all.", min=0, max=1000)
    ] = 3,
    model: Annotated[
        str | None, typer.Option("--model", help="The model that classifies.", metavar="NAME")
    ] = None,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Say which labels describe each image best."""
    from rsq.client import Client
    from rsq_agent.archive import find_images

    names = read_labels(labels)
    files = list(find_images(paths))
    if not files:
        raise BadInput("There are no images among the paths.")
    with Client(agent, model) as client:
        results = _classify(client, files, names, template, top, quiet=as_json)
    if as_json:
        rows = [
            {"image": str(path), "labels": [asdict(score) for score in scores]}
            for path, scores in zip(files, results, strict=True)
        ]
        print(json.dumps({"images": rows}, indent=2))
        return
    _print_tables(files, results)


def read_labels(given: str) -> list[str]:
    """The lines of a file of that name, or else the parts between commas. Raises BadInput."""
    path = Path(given)
    try:
        if not path.is_file():
            return [label.strip() for label in given.split(",") if label.strip()]
        if path.stat().st_size > MAX_LABELS_FILE_BYTES:
            raise BadInput(f"{given} has more than {MAX_LABELS_FILE_BYTES} bytes of labels.")
        text = path.read_text("utf-8")
    except UnicodeDecodeError as e:
        raise BadInput(f"{given} is not a text file in UTF-8.") from e
    except OSError as e:
        raise BadInput(f"{given[:80]} can't be read: {e.strerror}.") from e
    return [line.strip() for line in text.splitlines() if line.strip()]


def _classify(
    client: Client, files: list[Path], labels: list[str], template: str, top: int, *, quiet: bool
) -> list[list[LabelScore]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    results = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task("Classifying", total=len(files))
        for start in range(0, len(files), _IMAGES_PER_CALL):
            group = files[start : start + _IMAGES_PER_CALL]
            try:
                results += client.classify(group, labels, template=template, top=top)
            except BadInput as e:
                index = e.metadata.get("index")
                if index is None:
                    raise
                raise type(e)(f"{group[int(index)]}: {e.message}", metadata=e.metadata) from e
            progress.advance(task, len(group))
    return results


def _print_tables(files: list[Path], results: list[list[LabelScore]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for path, scores in zip(files, results, strict=True):
        table = Table(title=escape(str(path)), title_justify="left")
        table.add_column("label", overflow="fold")
        table.add_column("probability", justify="right")
        table.add_column("cosine", justify="right")
        for score in scores:
            table.add_row(escape(score.label), f"{score.probability:.4f}", f"{score.cosine:.4f}")
        console.print(table)
