"""The evaluation harness: what each stage is worth on a judged collection."""
