"""The `sojourn` command."""
