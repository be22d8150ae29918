"""Batches, the training loop, and the run directory that a training leaves behind."""
