"""Whether an objective is held: exact counts by window, error budgets, burn rates, alerts and causes."""
