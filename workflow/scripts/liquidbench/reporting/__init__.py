"""Tables and figures from the small files that runs leave behind. No torch, no raw data."""
