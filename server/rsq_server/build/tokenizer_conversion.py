"""tokenizer.json for checkpoints that have only the files of the original, slower tokenizers."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from transformers import CLIPTokenizer
from transformers.utils import sentencepiece_model_pb2_new as sentencepiece_model

from rsq.errors import BadSource
from rsq_server.build.checkpoint_files import read_json
from rsq_server.build.quiet import quiet

_PIECES = "spiece.model"
_MERGES = ("vocab.json", "merges.txt")


def convert_tokenizer(folder: Path, target: Path) -> bool:
    """Writes `target` from the SentencePiece model or the vocabulary and merges in `folder`; False
    when there are neither. Raises BadSource when they can't be read."""
    try:
        with quiet():
            if (folder / _PIECES).is_file():
                tokenizer = _convert_pieces(folder)
            elif all((folder / name).is_file() for name in _MERGES):
                clip: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
                tokenizer = clip.backend_tokenizer
            else:
                return False
            tokenizer.save(str(target))
    except BadSource:
        raise
    except Exception as e:  # protobuf, tokenizers and transformers each have their own errors
        raise BadSource("The checkpoint's tokenizer files can't be read.") from e
    return True


def _convert_pieces(folder: Path) -> Tokenizer:
    """SigLIP's tokenizer: SentencePiece after the canonical form of big_vision, which drops ASCII
    punctuation, joins white space and, unless told otherwise, lower-cases."""
    # transformers' copy of the schema, since sentencepiece's own wants a newer protobuf than the
    # Triton client allows.
    schema: Any = sentencepiece_model
    pieces = schema.ModelProto()
    pieces.ParseFromString((folder / _PIECES).read_bytes())
    tokenizer = Tokenizer(
        Unigram(
            [(piece.piece, piece.score) for piece in pieces.pieces],
            unk_id=pieces.trainer_spec.unk_id,
            byte_fallback=pieces.trainer_spec.byte_fallback,
        )
    )
    lowers = read_json(folder, "tokenizer_config.json").get("do_lower_case", True)
    tokenizer.normalizer = normalizers.Sequence(
        [
            *([normalizers.Lowercase()] if lowers else []),
            normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
            normalizers.Precompiled(pieces.normalizer_spec.precompiled_charsmap),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer
