"""The page that a reader opens: everything of a study in one file."""
