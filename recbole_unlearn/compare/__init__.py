"""The parts of `run_unlearn`: checks before the run, figures after each method."""
