"""Readers of judged collections and labelled pairs: nothing in a file is dropped silently."""
