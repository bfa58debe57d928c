"""Scripts that measure and write json below ``results``."""
