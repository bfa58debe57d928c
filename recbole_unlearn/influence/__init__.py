"""Influence functions: logistic blocks, curvature and solvers. Torch only; nothing here knows RecBole."""
