"""Settings of the server: flags, environment and sojourn.toml, read once and checked as a whole."""
