"""Questions put to the simulator: which policy is better, how large a pool must be, how far from the limit we are."""
