"""How long the last replica of an idle function is kept, and when to start one before the next request."""
