"""`rsq-agent classify`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.connection_options import agent_endpoint
from rsq.errors import BadInput
from rsq_agent.cli.options import AgentAddress, Json
from rsq_agent.config import DEFAULT_LISTEN

if TYPE_CHECKING:
    from rsq.classification import LabelScore
    from rsq.client import Client

EPILOG = """Examples:

rsq-agent classify tile.jpg --labels port,forest,river

rsq-agent classify ~/scenes --labels labels.txt --template "a satellite image of {}" --top 3

rsq-agent classify ~/scenes --labels labels.txt --csv labels.csv"""

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
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", help="Write one row an image and label.", metavar="FILE"),
    ] = None,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Say which labels describe each image best; images that can't be read are skipped."""
    from rsq.client import Client
    from rsq_agent.indexing.archive import find_images

    names = read_labels(labels)
    files = list(find_images(paths))
    if not files:
        raise BadInput("There are no images among the paths.")
    results: dict[Path, list[LabelScore]] = {}
    skipped: dict[Path, BadInput] = {}
    with Client(agent_endpoint(agent), model) as client:
        for path, scores in _classify(client, files, names, template, top, quiet=as_json):
            if isinstance(scores, BadInput):
                skipped[path] = scores
            else:
                results[path] = scores
    if not results:
        path, error = next(iter(skipped.items()))
        raise type(error)(f"{path}: {error.message}", metadata=error.metadata)
    if csv_file is not None:
        _write_csv(csv_file, results)
    if as_json:
        images = [
            {"image": str(path), "labels": [asdict(score) for score in scores]}
            for path, scores in results.items()
        ]
        left = [
            {"image": str(path), "code": error.code, "message": error.message}
            for path, error in skipped.items()
        ]
        print(json.dumps({"images": images, "skipped": left}, indent=2))
        return
    for path, error in skipped.items():
        print(f"{path}: {error}", file=sys.stderr)
    if csv_file is not None:
        print(f"Wrote labels of {len(results)} images to {csv_file}; skipped {len(skipped)}.")
    else:
        _print_tables(results)


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
) -> Iterator[tuple[Path, list[LabelScore] | BadInput]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

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
            yield from _classify_group(client, group, labels, template, top)
            progress.advance(task, len(group))


def _classify_group(
    client: Client, files: list[Path], labels: list[str], template: str, top: int
) -> Iterator[tuple[Path, list[LabelScore] | BadInput]]:
    from rsq.image_input import read_image

    waiting: list[tuple[Path, bytes]] = []
    for path in files:
        try:
            waiting.append((path, read_image(path)))
        except BadInput as e:
            yield path, e
    while waiting:
        images = [data for _, data in waiting]
        try:
            results = client.classify(images, labels, template=template, top=top)
        except BadInput as e:
            if (index := e.metadata.get("index")) is None:
                raise  # it is not about an image
            path, _ = waiting.pop(int(index))
            yield path, e
            continue
        yield from zip((path for path, _ in waiting), results, strict=True)
        return


def _write_csv(path: Path, results: Mapping[Path, list[LabelScore]]) -> None:
    import csv
    import io

    from rsq.output_file import write_output

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("image", "rank", "label", "probability", "cosine"))
    for image, scores in results.items():
        for rank, score in enumerate(scores, 1):
            writer.writerow((image, rank, score.label, score.probability, score.cosine))
    write_output(path, [text.getvalue().encode()])


def _print_tables(results: Mapping[Path, list[LabelScore]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for path, scores in results.items():
        table = Table(title=escape(str(path)), title_justify="left")
        table.add_column("label", overflow="fold")
        table.add_column("probability", justify="right")
        table.add_column("cosine", justify="right")
        for score in scores:
            table.add_row(escape(score.label), f"{score.probability:.4f}", f"{score.cosine:.4f}")
        console.print(table)
