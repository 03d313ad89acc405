"""Whether a vector depends on who else was asked for, measured through the encoder as served.

INT8 with scales over the whole batch gives one image other vectors from call to call, and a text
tower padded to the longest of its batch does so with texts. Neither shows in an accuracy figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.similarity import row_cosines
from rsq_server.build.probe_inputs import PROBE_TEXTS

INPUTS = 16
BATCHES = (2, 5, 16)
PADDED_TEXTS = 4
_SEED = 20_260_303
_SHORT, _LONG = min(PROBE_TEXTS, key=len), max(PROBE_TEXTS, key=len)
_MATES = 3


def spread_out(count: int, limit: int) -> NDArray[np.int64]:
    """At most `limit` different indices below `count`, at even distances."""
    return np.linspace(0, count - 1, min(count, limit)).round().astype(np.int64)


def measure_batch_cosine(encoder: Encoder, inputs: NDArray[Any], *, workers: int) -> float:
    """`batch_cosine_min`: the lowest cosine between the vector of one of `inputs` (at most INPUTS
    rows, prepared) embedded alone and in a batch of 2, 5 or 16 with others, in a seeded order of
    their own each. Raises InternalError as the encoder does."""
    random = np.random.default_rng(_SEED)

    def embed(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return encoder.embed_prepared(inputs[rows])

    worst = 1.0
    with ThreadPoolExecutor(workers) as pool:
        alone = np.concatenate(list(pool.map(embed, np.arange(len(inputs))[:, None])))
        for size in BATCHES:
            order = random.permutation(len(inputs))
            # The last batch is filled up with the first rows, so that nobody is left alone.
            order = np.resize(order, -(-len(inputs) // size) * size)
            together = np.concatenate(list(pool.map(embed, order.reshape(-1, size))))
            worst = min(worst, float(row_cosines(together, alone[order]).min()))
    return worst


def measure_padding_cosine(encoder: Encoder, texts: Sequence[str]) -> float:
    """`padding_cosine_min`: the lowest cosine between the vectors of one text embedded alone, among
    short texts, and among texts over the tower's length; of `texts`, a few at even distances.
    Raises InternalError as the encoder does."""
    worst = 1.0
    for index in spread_out(len(texts), PADDED_TEXTS):
        text = texts[index]
        alone = encoder.embed_texts([text])
        for mate in (_SHORT, _LONG):
            among = encoder.embed_texts([text, *[mate] * _MATES])[:1]
            worst = min(worst, float(row_cosines(among, alone).min()))
    return worst
