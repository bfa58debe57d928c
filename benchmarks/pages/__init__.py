"""Scripts that write pages of ``docs`` from the json."""
