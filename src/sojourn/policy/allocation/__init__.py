"""Who gets what of a pool that is too small for all."""
