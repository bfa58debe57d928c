"""Sets of ids and of (user, item) pairs as sorted numpy arrays, used by several parts of the package."""
