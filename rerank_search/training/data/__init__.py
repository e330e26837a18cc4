"""Training data: what the recipe's sources give, checked and made into rows."""
