"""From texts to the token ids that a text tower reads, without transformers.

Of `tokenizer.json` only the normaliser, the splitting and the vocabulary are used. Special tokens,
truncation and padding follow the manifest's TextSpec, whatever the file says of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rsq.errors import BadInput, BadManifest, EnvironmentFault, IntegrityError
from rsq.manifest import TextSpec
from rsq.units import format_size

MAX_TEXT_BYTES = 64 << 10  # of one text in UTF-8
MAX_TOKENIZER_BYTES = 64 << 20


class TextTokenizer:
    """A tokenizer with its specification. `encode` may be called from several threads."""

    def __init__(self, tokenizer: Tokenizer, spec: TextSpec) -> None:
        """Raises BadManifest when the specification does not fit the tokenizer."""
        for token_id in (spec.pad_id, spec.eos_id, spec.bos_id):
            if token_id is not None and tokenizer.id_to_token(token_id) is None:
                raise BadManifest(
                    f"The tokenizer has no token {token_id}, which the manifest names."
                )
        self._prefix = [] if spec.bos_id is None else [spec.bos_id]
        self._room = spec.max_length - len(self._prefix) - 1
        if self._room < 1:
            raise BadManifest(f"A maximum length of {spec.max_length} leaves no room for a token.")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._spec = spec

    @classmethod
    def open(cls, path: Path, spec: TextSpec) -> TextTokenizer:
        """Reads `tokenizer.json` at `path`.

        Raises BadInput when the file is too large or malformed, EnvironmentFault when it can't be
        read, and BadManifest when `spec` does not fit it.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_TOKENIZER_BYTES + 1)
        except OSError as e:
            raise EnvironmentFault(f"The tokenizer file {path} can't be read.") from e
        if len(data) > MAX_TOKENIZER_BYTES:
            raise BadInput(
                f"The tokenizer file {path} is larger than {format_size(MAX_TOKENIZER_BYTES)}."
            )
        try:
            tokenizer = Tokenizer.from_buffer(data)
        except Exception as e:
            raise BadInput(f"The file {path} is not a tokenizer.json that can be read.") from e
        return cls(tokenizer, spec)

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """int64 [n, max_length]: bos if any, the text's tokens cut to fit, eos, padding.

        Raises BadInput, naming the text by its index, when one is empty or blank, is over
        MAX_TEXT_BYTES in UTF-8, or holds a lone surrogate, and IntegrityError where the tokenizer
        fails.
        """
        for index, text in enumerate(texts):
            _check_text(index, text)
        if self._spec.lower_case:
            texts = [text.lower() for text in texts]
        rows = np.full((len(texts), self._spec.max_length), self._spec.pad_id, np.int64)
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        except Exception as e:  # the library has no error of its own
            raise IntegrityError(f"The artifact's tokenizer is broken: {e}.") from e
        for row, encoding in zip(rows, encodings, strict=True):
            ids = [*self._prefix, *encoding.ids[: self._room], self._spec.eos_id]
            row[: len(ids)] = ids
        return rows


def _check_text(index: int, text: str) -> None:
    if not text.strip():
        raise BadInput(f"Text {index} is empty.")
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as e:
        raise BadInput(f"Text {index} holds a lone surrogate at character {e.start}.") from e
    if size_bytes > MAX_TEXT_BYTES:
        raise BadInput(f"Text {index} has {size_bytes} bytes, over the limit of {MAX_TEXT_BYTES}.")
