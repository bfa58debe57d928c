"""Reads, writes and loads the files of trained models."""
