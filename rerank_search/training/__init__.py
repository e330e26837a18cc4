"""Fine-tuning of cross-encoders by recipe."""
