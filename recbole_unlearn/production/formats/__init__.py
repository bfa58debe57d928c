"""One reader for each family of file formats; it takes a stream and who is wanted, and yields traces."""
