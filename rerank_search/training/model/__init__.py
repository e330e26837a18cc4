"""The model while it is trained: where it begins, how it computes, what it becomes."""
