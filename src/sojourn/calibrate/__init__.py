"""Calibration: real replicas of one function, measured batch by batch, become a profile to simulate and plan with."""
