"""The LightningDataModule, the loaders behind it, and the negative samplers."""
