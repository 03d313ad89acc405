"""Trains the demo model: `python -m rsq_server.demo.train --out DIR`; about 10 minutes on 2 cores.

Steps: 1. generate scenes; 2. learn a tokenizer from their captions; 3. train a small SigLIP;
4. save it in float16; 5. score the saved files on fresh scenes and write the model card.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import SiglipConfig, SiglipModel

from rsq_server.demo.checkpoint import save_checkpoint, write_card
from rsq_server.demo.scenes import CLASSES, generate_scenes
from rsq_server.demo.scoring import scale_pixels, score_checkpoint, stack_pixels
from rsq_server.demo.tokenizer import END_ID, encode_texts, train_tokenizer
from rsq_server.demo.wording import CLASS_WORDS, SYNONYMS, TEMPLATES, name_class, reword

SEED = 20
SCORING_SEED = 777_001
THREADS = 2
SIDE, LENGTH, WIDTH = 96, 32, 128
# Each block is one call of generate_scenes; larger scenes, resized, teach it other sharpness.
BLOCKS, PER_BLOCK, BLOCK_SIZES = 12, 50, (96, 96, 96, 160)
STEPS, WARM_UP, BATCH, RATE = 900, 60, 120, 1.2e-3
# A caption of another scene of the same class is often true here as well: a weak negative.
SAME_CLASS_WEIGHT = 0.15


@dataclass(frozen=True)
class Corpus:
    """Scenes as arrays: uint8 pixels [n, 3, SIDE, SIDE], class numbers [n], captions of each."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    captions: list[tuple[str, ...]]


def train_demo(folder: Path) -> None:
    """Trains, saves and scores the demo model in `folder`."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    # 1. Scenes.
    corpus = gather_corpus()
    # 2. Tokenizer.
    rng = np.random.default_rng(SEED)
    tokenizer = train_tokenizer(list_texts(rng, corpus), pieces=1400)
    # 3. Model.
    model = build_model(tokenizer.get_vocab_size())
    fit(model, tokenizer, corpus, rng)
    # 4. Files.
    save_checkpoint(model, tokenizer, folder)
    # 5. Score.
    score = score_checkpoint(folder, generate_scenes(seed=SCORING_SEED, per_class=50))
    write_card(folder, score, seed=SEED)
    print(f"Zero-shot {score.zero_shot:.1%}, port query {score.port_precision_at_5:.0%}.")


def gather_corpus() -> Corpus:
    """Draws the training scenes on THREADS processes."""
    with ProcessPoolExecutor(THREADS) as pool:
        blocks = list(pool.map(_gather_block, range(BLOCKS)))
    return Corpus(
        np.concatenate([block.pixels for block in blocks]),
        np.concatenate([block.labels for block in blocks]),
        [captions for block in blocks for captions in block.captions],
    )


def _gather_block(block: int) -> Corpus:
    size = BLOCK_SIZES[block % len(BLOCK_SIZES)]
    scenes = generate_scenes(seed=SEED * 1000 + block, per_class=PER_BLOCK, size=size)
    return Corpus(
        np.stack([stack_pixels(scene.image, SIDE) for scene in scenes]),
        np.array([CLASSES.index(scene.label) for scene in scenes]),
        [scene.captions for scene in scenes],
    )


def list_texts(rng: np.random.Generator, corpus: Corpus) -> list[str]:
    """The tokenizer's training text: captions, reworded captions, class words and synonyms."""
    captions = [caption for captions in corpus.captions for caption in captions]
    words = [word for options in CLASS_WORDS.values() for word in options]
    others = [word for options in SYNONYMS.values() for word in options]
    frames = [template.format(word) for template in TEMPLATES for word in words]
    reworded = [reword(rng, caption) for caption in captions[::3]]
    return captions[::3] + reworded + frames + (words + others) * 20


def build_model(vocabulary: int) -> SiglipModel:
    """A SigLIP with random weights, shaped like google/siglip but small."""
    shape = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "hidden_act": "gelu_pytorch_tanh",
    }
    ends = {"bos_token_id": END_ID, "eos_token_id": END_ID, "pad_token_id": END_ID}
    model = SiglipModel(
        SiglipConfig(
            text_config={
                **shape,
                **ends,
                "vocab_size": vocabulary,
                "max_position_embeddings": LENGTH,
                "projection_size": WIDTH,
            },
            vision_config={**shape, "image_size": SIDE, "patch_size": 16},
        )
    )
    torch.nn.init.constant_(model.logit_scale, math.log(10.0))
    torch.nn.init.constant_(model.logit_bias, -5.0)
    return model


def fit(model: SiglipModel, tokenizer: Tokenizer, corpus: Corpus, rng: np.random.Generator) -> None:
    """SigLIP's sigmoid loss over captions and class prompts, plus cross-entropy over classes."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
        lr=RATE,
        betas=(0.9, 0.98),
    )
    said = [set(captions) for captions in corpus.captions]
    model.train()
    for step in range(STEPS):
        rate = min(1.0, (step + 1) / WARM_UP) * 0.5 * (1.0 + math.cos(math.pi * step / STEPS))
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate
        chosen = rng.integers(len(corpus.labels), size=BATCH)
        sources = [corpus.captions[i][int(rng.integers(len(corpus.captions[i])))] for i in chosen]
        texts = [reword(rng, source) for source in sources]
        texts += [name_class(rng, label) for label in CLASSES]
        truth, weight = mark_pairs(corpus.labels[chosen], [said[i] for i in chosen], sources)
        ids = torch.from_numpy(encode_texts(tokenizer, texts, length=LENGTH))
        pixels = augment(rng, torch.from_numpy(corpus.pixels[chosen]))
        with torch.autocast("cpu", torch.bfloat16):
            images = model.vision_model(pixels).pooler_output
            words = model.text_model(input_ids=ids).pooler_output
        cosines = functional.normalize(images.float()) @ functional.normalize(words.float()).T
        logits = cosines * model.logit_scale.exp() + model.logit_bias
        pairs = functional.logsigmoid(logits * (2.0 * truth - 1.0)) * weight
        named = functional.cross_entropy(
            logits[:, BATCH:], torch.from_numpy(corpus.labels[chosen]), label_smoothing=0.05
        )
        loss = named - pairs.sum() / BATCH
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        if step % 100 == 99:
            print(f"step {step + 1}/{STEPS}: loss {loss.item():.3f}", flush=True)
    model.train(False)


def mark_pairs(
    labels: NDArray[np.int64], said: Sequence[set[str]], sources: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Truth (0 or 1) and weight of every (image, text) pair, float32 [BATCH, BATCH + classes].

    A caption is true of every scene that carries it; a class prompt of every scene of its class.
    """
    shared = np.array([[source in captions for source in sources] for captions in said])
    named = labels[:, None] == np.arange(len(CLASSES))[None, :]
    truth = np.concatenate([shared, named], axis=1)
    kin = np.concatenate([labels[:, None] == labels[None, :], np.zeros_like(named)], axis=1)
    weight = np.where(kin & ~truth, SAME_CLASS_WEIGHT, 1.0)
    return torch.from_numpy(truth.astype(np.float32)), torch.from_numpy(weight.astype(np.float32))


def augment(rng: np.random.Generator, batch: torch.Tensor) -> torch.Tensor:
    """Turns, mirrors, crops and relights scenes: what is true from above stays true turned."""
    pixels = scale_pixels(batch)
    parts = []
    for part in pixels.chunk(4):
        turned = torch.rot90(part, int(rng.integers(4)), (2, 3))
        turned = turned.flip(3) if rng.random() < 0.5 else turned
        if rng.random() < 0.5:
            side = int(rng.integers(SIDE * 3 // 4, SIDE))
            top, left = (int(corner) for corner in rng.integers(0, SIDE - side + 1, size=2))
            turned = functional.interpolate(
                turned[:, :, top : top + side, left : left + side],
                size=(SIDE, SIDE),
                mode="bilinear",
                align_corners=False,
            )
        parts.append(turned)
    count = len(batch)
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, size=(count, 3, 1, 1)).astype(np.float32))
    lift = torch.from_numpy(rng.uniform(-0.1, 0.1, size=(count, 3, 1, 1)).astype(np.float32))
    return (torch.cat(parts) * gain + lift).clamp(-1.0, 1.0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Trains rsq's demo model.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    train_demo(parser.parse_args().out)


if __name__ == "__main__":
    main()
