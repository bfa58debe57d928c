"""One reader per family of files: each gets a place, an open stream and who is wanted, and yields what it found."""
