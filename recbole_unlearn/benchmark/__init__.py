"""Grids of cells: models, data sets, requests and seeds."""
