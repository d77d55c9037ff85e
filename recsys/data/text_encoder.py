"""Encoder of a text attribute by latent semantic analysis; `column_encoders` has those of the other kinds."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize

from recsys.data.column_encoders import CLIP, LEAST_COUNT
from recsys.sources.base import Kind

logger = logging.getLogger(__name__)

MAX_WORDS = 2000
TEXT_NUMBERS = 16  # numbers a text becomes
LEAST_TEXTS = 50


@dataclass(frozen=True)
class TextColumn:
    """TF-IDF of the words, projected to a few numbers of unit spread by a truncated SVD (latent semantic analysis).

    Attributes:
        name: the column.
        vocabulary: the words, [w].
        idf: inverse document frequency of each word, float64, [w].
        projection: words to numbers, float64, [w, d].
        center: mean of the projected texts, float64, [d].
    """

    kind: ClassVar[Kind] = "text"
    name: str
    vocabulary: tuple[str, ...]
    idf: np.ndarray
    projection: np.ndarray
    center: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the encoded columns."""
        return tuple(f"{self.name}~{i}" for i in range(self.projection.shape[1]))

    def encode(self, values: pd.Series) -> np.ndarray:
        """float32 [n, len(names)], 0 for texts without a known word."""
        if not len(values):
            return np.empty((0, len(self.names)), dtype=np.float32)
        counts = CountVectorizer(vocabulary=self.vocabulary).transform(_texts(values))
        # Each row of a sparse-dense product is summed on its own, so other rows cannot change a bit of it.
        numbers = normalize(counts.multiply(self.idf).tocsr()) @ self.projection - self.center
        numbers[counts.getnnz(axis=1) == 0] = 0.0
        return np.asarray(numbers).clip(-CLIP, CLIP).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "vocabulary": list(self.vocabulary),
            "idf": self.idf.tolist(),
            "projection": self.projection.tolist(),
            "center": self.center.tolist(),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        arrays = (np.array(plain[key], dtype=np.float64) for key in ("idf", "projection", "center"))
        return cls(plain["name"], tuple(plain["vocabulary"]), *arrays)


def fit_text(name: str, values: pd.Series) -> TextColumn | None:
    """Words and their projection; None, and stated in the log, where there are too few texts to learn one from."""
    texts = [text for text in _texts(values) if text]
    words = CountVectorizer(min_df=LEAST_COUNT, max_features=MAX_WORDS)
    try:
        counts = words.fit_transform(texts if len(texts) >= LEAST_TEXTS else [])
    except ValueError:  # no word is left
        counts = csr_matrix((0, 0))
    size = min(TEXT_NUMBERS, counts.shape[1] - 1)
    if size < 1:
        logger.info("%s: %d texts before validation are too few to become a feature", name, len(texts))
        return None
    idf = TfidfTransformer().fit(counts).idf_
    weighted = normalize(counts.multiply(idf).tocsr())
    components = TruncatedSVD(size, random_state=0).fit(weighted).components_.T
    deviation = (weighted @ components).std(axis=0)
    spread = deviation > 1e-6
    if not spread.any():
        return None
    projection = components[:, spread] / deviation[spread]
    center = (weighted @ projection).mean(axis=0)
    return TextColumn(name, tuple(words.get_feature_names_out().tolist()), idf, projection, center)


def _texts(values: pd.Series) -> list[str]:
    return [text or "" for text in values]
