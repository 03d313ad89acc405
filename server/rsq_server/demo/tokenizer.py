"""The demo model's own tokenizer: byte pairs with byte fallback, lower-cased."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
END_ID = 1
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def train_tokenizer(texts: Sequence[str], *, pieces: int) -> Tokenizer:
    """Learns a vocabulary of at most `pieces` from `texts`, 256 of them one for each byte.

    As in SigLIP, text is lower-cased and freed of punctuation, every text ends with `</s>` (id 1),
    and the caller pads with that same id. Byte pairs rather than SigLIP's Unigram: the trainer of
    the latter sums in a random order and gives another vocabulary in every run.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), " "),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=[PAD, END, UNKNOWN, *_BYTES],
        initial_alphabet=list(_LETTERS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, END_ID)]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    # The trainer had to be told of the byte pieces as special tokens. They are none: the letters
    # "<0x41>" in a text must not turn into a byte.
    layout = json.loads(tokenizer.to_str())
    layout["added_tokens"] = layout["added_tokens"][: END_ID + 2]
    return Tokenizer.from_str(json.dumps(layout))


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], *, length: int) -> NDArray[np.int64]:
    """Token ids [len(texts), length], padded with `</s>`; a longer text is cut and ends in it."""
    ids = np.full((len(texts), length), END_ID, dtype=np.int64)
    for row, encoding in enumerate(tokenizer.encode_batch(list(texts))):
        kept = encoding.ids[: length - 1]
        ids[row, : len(kept)] = kept
    return ids
