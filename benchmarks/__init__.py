"""Grids, scripts that measure (``python -m benchmarks.measure.NAME``), scripts that write pages, and what they wrote."""
