"""Sequence cores, encoders and heads, and how a model is put together."""
