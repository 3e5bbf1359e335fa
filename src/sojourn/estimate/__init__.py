"""What we believe from what we saw: arrival rates, service times, capacity."""
