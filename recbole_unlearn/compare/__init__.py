"""What ``run_unlearn`` does around the methods: checks before, measures after."""
