"""Encoders, heads, objectives and the LightningModule; classical peers live in `recsys.models.baselines`."""
