"""Shards: the training rows in K parts, a sub-model on each, and one model that serves them all."""
