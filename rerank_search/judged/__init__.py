"""Judged collections, their candidates and cached scores, which evaluation and training share."""
