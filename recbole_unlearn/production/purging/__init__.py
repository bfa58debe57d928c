"""The purge: files are rewritten without the rows of those who withdrew, deleted, or left alone with the reason."""
