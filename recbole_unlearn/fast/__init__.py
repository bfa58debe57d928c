"""What makes stock RecBole faster with the same results: parser, loaders, samplers, layers."""
