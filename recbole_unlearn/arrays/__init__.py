"""Sets of ids and pairs as sorted numpy arrays, which several parts of the package share."""
