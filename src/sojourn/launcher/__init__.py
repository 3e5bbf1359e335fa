"""Starts and ends the processes that run user code: replicas, and the one that describes a target."""
