"""Plain data every layer speaks: requests, batches, replicas, functions, events, actions."""
