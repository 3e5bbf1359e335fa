"""Deploying functions to a running server: what comes in, what is kept, how it takes over."""
