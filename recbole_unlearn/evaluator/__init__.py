"""Measures completeness, efficiency and utility, and writes the report."""
