"""The main job on real images, through the commands and gRPC, against transformers in FP32.

Publishes models/rsq-siglip-small, evaluates on the AID test split, serves each variant and asks it
for all 1,027 test images, the class prompts and the captions. Prints per variant the zero-shot
accuracy, the agreement with transformers, and how far a vector depends on its batch mates.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from programs import Programs

from rsq.client import Client

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("RSQ_DATA", REPOSITORY.parent / "shared" / "data"))
VARIANTS = ("fp32", "fp16", "int8")
BATCHES = (2, 3, 5, 8, 13, 32)
CLIENTS = 4

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class TestSet:
    files: list[bytes]
    labels: list[str]
    captions: list[str]

    @property
    def classes(self) -> list[str]:
        return sorted(set(self.labels))

    @property
    def prompts(self) -> list[str]:
        return [f"a satellite image of {to_words(name)}" for name in self.classes]


@dataclass(frozen=True)
class Embeddings:
    images: Rows
    prompts: Rows
    captions: Rows


def to_words(label: str) -> str:
    """ "SparseResidential" -> "sparse residential"."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in label).strip()


def read_test_set(folder: Path) -> TestSet:
    lines = (folder / "captions.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "test"]
    return TestSet(
        [(folder / row["image"]).read_bytes() for row in rows],
        [row["label"] for row in rows],
        [row["captions"][0] for row in rows],
    )


def embed_with_transformers(checkpoint: Path, data: TestSet) -> Embeddings:
    """The same computation with the reference implementation in FP32."""
    import io

    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)

    def run(items: list[Any], embed: Any) -> Rows:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(items), 64):
                rows = embed(items[start : start + 64])
                rows = getattr(rows, "pooler_output", rows)
                parts.append(torch.nn.functional.normalize(rows, dim=-1).numpy())
        return np.concatenate(parts)

    def images(files: list[bytes]) -> Any:
        pictures = [Image.open(io.BytesIO(file)) for file in files]
        return model.get_image_features(**processor(images=pictures, return_tensors="pt"))

    def texts(group: list[str]) -> Any:
        length = model.config.text_config.max_position_embeddings
        inputs = tokenizer(
            group, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        return model.get_text_features(input_ids=inputs["input_ids"])

    return Embeddings(run(data.files, images), run(data.prompts, texts), run(data.captions, texts))


def embed_with_agent(client: Client, data: TestSet) -> Embeddings:
    return Embeddings(
        client.embed_image(data.files),
        client.embed_text(data.prompts),
        client.embed_text(data.captions),
    )


def zero_shot(embeddings: Embeddings, data: TestSet) -> float:
    best = (embeddings.images @ embeddings.prompts.T).argmax(axis=1)
    return float(np.mean([data.classes[i] == label for i, label in zip(best, data.labels)]))  # noqa: B905


def same_top1(left: Embeddings, right: Embeddings) -> float:
    """Share of captions whose best image is the same."""
    best = [(e.captions @ e.images.T).argmax(axis=1) for e in (left, right)]
    return float((best[0] == best[1]).mean())


def cosine_min(left: Rows, right: Rows) -> float:
    return float((left.astype(np.float64) * right).sum(axis=1).min())


def measure_invariance(target: str, data: TestSet) -> tuple[float, float]:
    """The worst cosine, images and texts, between a vector asked for alone and the same in batches
    of every size of `BATCHES`, asked for by several clients at once."""
    count = max(BATCHES)
    files, texts = data.files[:count], data.captions[:count]
    with Client(target) as client:
        alone_images = np.concatenate([client.embed_image([file]) for file in files])
        alone_texts = np.concatenate([client.embed_text([text]) for text in texts])

    def ask(batch: int) -> tuple[float, float]:
        with Client(target) as client:
            images = [client.embed_image(files[i : i + batch]) for i in range(0, count, batch)]
            words = [client.embed_text(texts[i : i + batch]) for i in range(0, count, batch)]
        return (
            cosine_min(alone_images, np.concatenate(images)),
            cosine_min(alone_texts, np.concatenate(words)),
        )

    with ThreadPoolExecutor(CLIENTS) as pool:
        worst = list(pool.map(ask, BATCHES * 2))
    return min(image for image, _ in worst), min(text for _, text in worst)


def measure_variant(
    programs: Programs, variant: str, data: TestSet, reference: Embeddings
) -> dict[str, Any]:
    pulled = programs.pull("small", "--vram", "2GB", "--pin", variant, "--json").json()
    with programs.serve_agent(), Client(programs.agent) as client:
        found = embed_with_agent(client, data)
        images_alone, texts_alone = measure_invariance(programs.agent, data)
    return {
        "variant": variant,
        "predicted_peak_bytes": sum(c["predicted_peak_bytes"] for c in pulled["chosen"]),
        "zero_shot": zero_shot(found, data),
        "zero_shot_change": zero_shot(found, data) - zero_shot(reference, data),
        "same_top1": same_top1(found, reference),
        "image_cosine_min": cosine_min(found.images, reference.images),
        "text_cosine_min": cosine_min(found.captions, reference.captions),
        "image_alone_cosine_min": images_alone,
        "text_alone_cosine_min": texts_alone,
    }


def run(home: Path, data_folder: Path, variants: tuple[str, ...] = VARIANTS) -> dict[str, Any]:
    checkpoint = data_folder / "models" / "rsq-siglip-small"
    data = read_test_set(data_folder / "aid-rsicd")
    programs = Programs(home)
    published = programs.run(
        "rsq-server", "publish", checkpoint, "--name", "small",
        "--variants", ",".join(variants), "--evaluation", data_folder / "aid-rsicd", "--json",
    ).json()  # fmt: skip
    reference = embed_with_transformers(checkpoint, data)
    with programs.serve_registry():
        rows = [measure_variant(programs, variant, data, reference) for variant in variants]
        peaks = {row["variant"]: row["predicted_peak_bytes"] for row in rows}
        budget = (peaks["int8"] + peaks["fp32"]) // 2
        between = programs.pull("small", "--vram", str(budget), "--plan", "--json").json()
    return {
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": len(os.sched_getaffinity(0)),
        "images": len(data.files),
        "transformers_zero_shot": zero_shot(reference, data),
        "published": published,
        "rows": rows,
        "between": {"budget_bytes": budget, **between},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/main_job.json")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as home:
        result = run(Path(home), DATA)
    print(f"transformers FP32: zero-shot {result['transformers_zero_shot']:.2%}")
    for row in result["rows"]:
        print(
            f"{row['variant']:6} zero-shot {row['zero_shot']:.2%} "
            f"({row['zero_shot_change'] * 100:+.2f} points), same top-1 {row['same_top1']:.2%}, "
            f"cosine min {row['image_cosine_min']:.6f} / {row['text_cosine_min']:.6f}, "
            f"alone vs batch {row['image_alone_cosine_min']:.7f} / "
            f"{row['text_alone_cosine_min']:.7f}"
        )
    chosen = ", ".join(f"{c['tower']} {c['variant']}" for c in result["between"]["chosen"])
    print(f"--vram {result['between']['budget_bytes']}: {chosen}")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
