"""What a prediction is worth: metrics, and the corruptions of the stress test. No torch here."""
