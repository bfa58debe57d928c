"""`--benchmark`: runs a grid of data sets, models, requests and seeds."""
