"""Tiny checkpoints in Hugging Face layout, random but fixed, that publish in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import SiglipConfig, SiglipModel

IMAGE_SIZE = 32
MAX_LENGTH = 16
DIMENSION = 32
_CORPUS = ["a satellite image of a port with large cargo ships and storage tanks by the river"]


def write_siglip_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A SigLIP of two layers a tower, 32 wide, in half precision, with a byte-level tokenizer whose
    normaliser lower-cases."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_tokenizer(folder)
    tower = {
        "hidden_size": DIMENSION,
        "intermediate_size": 2 * DIMENSION,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = SiglipConfig(
        vision_config={**tower, "image_size": IMAGE_SIZE, "patch_size": 8},
        text_config={
            **tower,
            "vocab_size": vocabulary,
            "max_position_embeddings": MAX_LENGTH,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
    )
    torch.manual_seed(seed)
    SiglipModel(config).to(torch.float16).save_pretrained(folder)
    preprocessor = {
        "image_processor_type": "SiglipImageProcessor",
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "resample": 3,
        "rescale_factor": 1 / 255,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nRandom weights for tests.\n")
    return folder


def _write_tokenizer(folder: Path) -> int:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<unk>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "</s>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {
        **special,
        "tokenizer_class": "SiglipTokenizer",
        "model_max_length": MAX_LENGTH,
        "do_lower_case": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer.get_vocab_size()
