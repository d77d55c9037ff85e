"""Whether there is a key to log in to Weights & Biases with; the key itself is read by its own client only."""

import os

import requests.utils

from recsys.errors import UserError


def has_key() -> bool:
    """Whether W&B finds a key: in WANDB_API_KEY, or kept by `wandb login`."""
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    return bool(os.environ.get("WANDB_API_KEY") or requests.utils.get_netrc_auth(host))


def need_key(purpose: str) -> None:
    """Raise a `UserError` that says what the key is needed for, if there is none."""
    if not has_key():
        raise UserError(f"{purpose} needs a W&B key: set WANDB_API_KEY or run `wandb login`.")
