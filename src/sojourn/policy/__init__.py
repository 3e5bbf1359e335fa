"""Policies: one question per module, one method per policy; they do not know one another."""
