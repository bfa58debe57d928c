"""Influence functions: logistic blocks, curvature and solvers. Torch, numpy and scipy; nothing here knows RecBole."""
