"""The yaml files with every key that this plugin adds to RecBole's, its type, meaning and default."""
