"""Trained models used: answers about new raw files, and models for other programs."""
