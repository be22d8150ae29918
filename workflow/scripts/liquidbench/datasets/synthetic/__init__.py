"""Generators of synthetic raw files, each in its data set's official format."""
