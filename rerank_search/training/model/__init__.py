"""The model in training: how it is made, how it computes, and how it is blended."""
