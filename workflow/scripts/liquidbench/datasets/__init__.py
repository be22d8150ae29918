"""Raw formats to one cache schema; one module per data set. No torch here."""
