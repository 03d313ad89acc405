"""Step 2 of publish: a folder in Hugging Face layout becomes a dual encoder in FP32."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from rsq.errors import BadSource
from rsq.manifest import ImageSpec, ScoringSpec, TextSpec
from rsq_server.build.checkpoint_files import read_json, read_licence
from rsq_server.build.dual_encoder import DualEncoder
from rsq_server.build.preprocessing import read_image_spec
from rsq_server.build.quiet import quiet
from rsq_server.build.tokenization import UsualTokens, find_tokenizer, read_text_spec
from rsq_server.build.towers import ClipText, ClipVision, SiglipText, SiglipVision
from rsq_server.sources.contents import require_checkpoint

_INDEX = "model.safetensors.index.json"
# CLIP configurations of before 2023 carry this wrong number and mean the highest id of a text.
_LEGACY_CLIP_EOS = 2
_CLIP_END = "<|endoftext|>"


@dataclass(frozen=True)
class _Family:
    """What a checkpoint's files do not say, because its model type implies it."""

    scoring: Callable[[Any], ScoringSpec]
    towers: Callable[[Any], tuple[torch.nn.Module, torch.nn.Module]]
    dimensions: Callable[[Any], tuple[int, int]]  # of the vision and the text tower
    pooling: dict[str, str]
    crops: bool
    tokens: UsualTokens


def load_encoder(folder: Path, *, work_folder: Path | None = None) -> DualEncoder:
    """The checkpoint in `folder`, half-precision weights cast up to FP32. Nothing is downloaded and
    no code of the checkpoint runs. `work_folder` receives a tokenizer.json where the checkpoint has
    none and its other tokenizer files can be converted; it must outlive the encoder.

    Raises BadSource for a folder without config.json, safetensors weights, tokenizer or
    preprocessing, of an unsupported model type, with missing shards or tensors, or whose files
    contradict each other.
    """
    # 1. what the small files say, before anything large is read
    _require_files(folder)
    config = read_json(folder, "config.json")
    family = _find_family(config)
    tokenizer_json = find_tokenizer(folder, work_folder)

    # 2. the weights
    model = _load_model(folder)

    # 3. specifications, held against the model
    image = _read_image_spec(folder, model.config, family)
    text = _read_text_spec(folder, tokenizer_json, model.config, family)
    dimension, text_dimension = family.dimensions(model.config)
    if dimension != text_dimension:
        raise BadSource(
            f"The checkpoint's towers give vectors of {dimension} and {text_dimension} numbers, "
            "which can't be compared."
        )
    # Taken first, under the checkpoint's own names: the towers below regroup the same tensors.
    weights = _tower_weights(model)
    vision, text_module = family.towers(model)
    return DualEncoder(
        vision=vision.eval(),
        text=text_module.eval(),
        image=image,
        text_spec=text,
        scoring=family.scoring(model),
        dimension=dimension,
        vocabulary_size=int(model.config.text_config.vocab_size),
        licence=read_licence(folder, config),
        tokenizer_json=tokenizer_json,
        weights=weights,
        architecture=_describe_architecture(model.config, family),
    )


def _require_files(folder: Path) -> None:
    try:
        names = {path.name for path in folder.iterdir() if path.is_file()}
    except OSError as e:
        raise BadSource("The checkpoint folder can't be read.") from e
    require_checkpoint(names, "The checkpoint folder")
    if _INDEX in names and "model.safetensors" not in names:
        shards = read_json(folder, _INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise BadSource(f"The checkpoint's {_INDEX} lists no weights.")
        missing = sorted({str(shard) for shard in shards.values()} - names)
        if missing:
            raise BadSource(
                f"The checkpoint lacks {len(missing)} of its weight files, such as "
                f"{missing[0][:80]!r}."
            )


def _find_family(config: dict[str, Any]) -> _Family:
    kind = config.get("model_type")
    family = _FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise BadSource(
            f"The checkpoint's model type {str(kind)[:40]!r} is not supported; rsq loads "
            f"{' and '.join(_FAMILIES)}."
        )
    return family


def _load_model(folder: Path) -> Any:
    try:
        with quiet():
            model, found = AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except MemoryError:
        raise
    except Exception as e:  # transformers lets every library's errors through
        raise BadSource(f"The checkpoint can't be loaded: {_first_line(e)}") from e
    missing = sorted(found["missing_keys"])
    if missing:
        raise BadSource(
            f"The checkpoint lacks {len(missing)} of the model's tensors, such as {missing[0]!r}."
        )
    return model.requires_grad_(False)


def _read_image_spec(folder: Path, config: Any, family: _Family) -> ImageSpec:
    return read_image_spec(
        folder, image_size=int(config.vision_config.image_size), crops=family.crops
    )


def _read_text_spec(folder: Path, tokenizer_json: Path, config: Any, family: _Family) -> TextSpec:
    spec = read_text_spec(
        folder,
        tokenizer_json,
        max_length=int(config.text_config.max_position_embeddings),
        usual=family.tokens,
    )
    size = int(config.text_config.vocab_size)
    if max(spec.pad_id, spec.eos_id, spec.bos_id or 0) >= size:
        raise BadSource(
            f"The checkpoint's tokenizer has special tokens beyond the text tower's {size} ids."
        )
    # CLIP's tower reads its vector out at the token that its configuration names.
    eos_id = config.text_config.eos_token_id
    if family.pooling["text"] == "eos" and eos_id not in (_LEGACY_CLIP_EOS, spec.eos_id):
        raise BadSource(
            f"The checkpoint's tokenizer ends a text with id {spec.eos_id}; its text tower looks "
            f"for {eos_id}."
        )
    return spec


def _tower_weights(model: Any) -> dict[str, torch.Tensor]:
    scores = ("logit_scale", "logit_bias")
    return {name: value for name, value in model.state_dict().items() if name not in scores}


def _describe_architecture(config: Any, family: _Family) -> dict[str, Any]:
    towers = {"vision": config.vision_config, "text": config.text_config}
    return {
        name: {
            "activation": str(tower.hidden_act),
            "epsilon": float(tower.layer_norm_eps),
            "heads": int(tower.num_attention_heads),
            "pooling": family.pooling[name],
        }
        for name, tower in towers.items()
    }


def _siglip_towers(model: Any) -> tuple[torch.nn.Module, torch.nn.Module]:
    if not model.vision_model.use_head:
        raise BadSource("The checkpoint's vision tower has no pooling head, so it gives no vector.")
    return SiglipVision(model.vision_model), SiglipText(model.text_model)


def _clip_towers(model: Any) -> tuple[torch.nn.Module, torch.nn.Module]:
    return (
        ClipVision(model.vision_model, model.visual_projection),
        ClipText(model.text_model, model.text_projection),
    )


def _siglip_scoring(model: Any) -> ScoringSpec:
    return ScoringSpec("sigmoid", _scale(model), float(model.logit_bias))


def _clip_scoring(model: Any) -> ScoringSpec:
    return ScoringSpec("softmax", _scale(model))


def _scale(model: Any) -> float:
    # Rounded to FP32, so that two machines' exp give one manifest.
    return float(np.float32(math.exp(float(model.logit_scale))))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


_FAMILIES = {
    "siglip": _Family(
        scoring=_siglip_scoring,
        towers=_siglip_towers,
        dimensions=lambda config: (
            int(config.vision_config.hidden_size),
            int(config.text_config.projection_size),
        ),
        pooling={"vision": "attention", "text": "last"},
        crops=False,
        tokens=UsualTokens(pad="</s>", eos="</s>", bos=None),
    ),
    "clip": _Family(
        scoring=_clip_scoring,
        towers=_clip_towers,
        dimensions=lambda config: (int(config.projection_dim), int(config.projection_dim)),
        pooling={"vision": "class", "text": "eos"},
        crops=True,
        tokens=UsualTokens(pad=_CLIP_END, eos=_CLIP_END, bos="<|startoftext|>"),
    ),
}
