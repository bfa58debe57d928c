"""Influence functions: objectives, curvature and solvers, with torch, numpy and scipy and without RecBole."""
