"""The commands of the entry point: how they are called, what help says of them, and what runs them."""
