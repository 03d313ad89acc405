"""From a checkpoint's tokenizer files to tokenizer.json and the manifest's TextSpec."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from rsq.errors import BadSource
from rsq.manifest import TextSpec
from rsq.text import MAX_TOKENIZER_BYTES
from rsq_server.build.checkpoint_files import read_json
from rsq_server.build.tokenizer_conversion import convert_tokenizer

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class UsualTokens:
    """A model type's special tokens, for checkpoints that name no others; `bos` None: its texts
    begin without one."""

    pad: str
    eos: str
    bos: str | None


def find_tokenizer(folder: Path, work_folder: Path | None) -> Path:
    """The checkpoint's tokenizer.json, or one converted from its other tokenizer files and written
    to `work_folder`. Raises BadSource when there is nothing to read or nowhere to write."""
    path = folder / TOKENIZER
    if path.is_file():
        return path
    if work_folder is not None:
        path = work_folder / TOKENIZER
        if convert_tokenizer(folder, path):
            return path
    raise BadSource(
        "The checkpoint has no tokenizer.json; save its tokenizer with transformers' fast "
        "tokenizer and put the file beside the weights."
    )


def read_text_spec(
    folder: Path,
    tokenizer_json: Path,
    *,
    max_length: int,
    usual: UsualTokens,
) -> TextSpec:
    """The specification for a tower that reads `max_length` tokens.

    Raises BadSource for a malformed tokenizer or a special token that is not in it.
    """
    tokenizer, layout = _open(tokenizer_json)
    settings = read_json(folder, "tokenizer_config.json")
    named = {**read_json(folder, "special_tokens_map.json"), **settings}

    def find(role: str, fallback: str) -> int:
        token = _text_of(named.get(role)) or fallback
        number = tokenizer.token_to_id(token)
        if number is None:
            raise BadSource(f"The checkpoint's tokenizer.json has no {role} {token[:40]!r}.")
        return int(number)

    lowers = bool(settings.get("do_lower_case")) and not _lowers(layout.get("normalizer"))
    return TextSpec(
        max_length=max_length,
        pad_id=find("pad_token", usual.pad),
        eos_id=find("eos_token", usual.eos),
        bos_id=None if usual.bos is None else find("bos_token", usual.bos),
        lower_case=lowers,
    )


def _open(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    try:
        if path.stat().st_size > MAX_TOKENIZER_BYTES:
            raise BadSource(
                f"The checkpoint's tokenizer.json is larger than {MAX_TOKENIZER_BYTES} bytes."
            )
        data = path.read_bytes()
    except OSError as e:
        raise BadSource("The checkpoint's tokenizer.json can't be read.") from e
    try:
        return Tokenizer.from_buffer(data), dict(json.loads(data))
    except Exception as e:  # the library raises a bare Exception
        raise BadSource("The checkpoint's tokenizer.json is not one that can be read.") from e


def _text_of(token: object) -> str | None:
    """A special token as configurations write it: a string, or an object with its content."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) and token else None


def _lowers(normalizer: object) -> bool:
    """Whether a normaliser of tokenizer.json, or one within it, makes texts lower-case."""
    if not isinstance(normalizer, dict):
        return False
    return (
        normalizer.get("type") == "Lowercase"
        or (normalizer.get("type") == "BertNormalizer" and bool(normalizer.get("lowercase")))
        or any(_lowers(part) for part in normalizer.get("normalizers") or [])
    )
