"""The second stage: cross-encoders, and the fusion of their scores with the first stage's."""
