"""The recipe: a training run, declared once."""
