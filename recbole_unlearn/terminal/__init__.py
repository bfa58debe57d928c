"""What a person at a terminal sees: text that fits, and what goes on."""
