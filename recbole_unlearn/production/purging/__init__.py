"""The purge: rewrites files without withdrawn rows, deletes them, or leaves them and gives the reason."""
