"""What is measured and told: meters, quantiles, the Prometheus page, the event log, the journal."""
