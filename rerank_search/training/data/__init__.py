"""Training data from a recipe's sources, checked and made into rows."""
