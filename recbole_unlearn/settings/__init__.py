"""The keys of the yaml files, their checks, and classes from outside the package."""
