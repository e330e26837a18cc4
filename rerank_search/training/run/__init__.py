"""A training run: prepared, then trained from checkpoint to checkpoint."""
