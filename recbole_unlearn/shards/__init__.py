"""Shards: the training rows in K parts, a sub-model for each, and one model that combines them."""
