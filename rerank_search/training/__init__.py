"""Fine-tuning of cross-encoders with recipes."""
