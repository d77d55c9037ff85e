"""Probabilities from logits that were trained to rank; `lightning_module.py` fits them on validation."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

# Least scale of logits with deviation 1. Where positives lie no higher than negatives the best one is 0, which would
# make all logits equal; with this one probabilities are near each other too, but float32 tells them apart.
LEAST = 0.01


def fit_calibration(logit: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Scale a > 0 and shift b with the least mean cross-entropy of sigmoid(a logit + b) to the labels (Platt, 1999).

    Labels are moved towards 1/2 by one part in n + 1, so that the scale stays finite where all positives lie above all
    negatives.

    Args:
        logit: of positive and negative pairs, float, [n].
        label: soft labels in [0, 1], [n].

    Returns:
        a and b; 1 and 0 where labels or logits do not vary.
    """
    logit, label = logit.astype(np.float64), label.astype(np.float64)
    spread = float(logit.std()) if len(logit) else 0.0
    if spread == 0.0 or label.min() == label.max():
        return 1.0, 0.0
    middle, scaled = float(logit.mean()), (logit - logit.mean()) / spread
    target = (label * len(label) + 0.5) / (len(label) + 1)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scale = np.exp(parameters[0])
        z = scale * scaled + parameters[1]
        slope = expit(z) - target
        value = np.mean(np.logaddexp(0.0, z) - target * z)
        return float(value), np.array([np.mean(slope * scaled) * scale, np.mean(slope)])

    found = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    scale = max(float(np.exp(found[0])), LEAST) / spread
    return scale, float(found[1] - scale * middle)
