"""Arguments, yaml files and the checks of keys and values."""
