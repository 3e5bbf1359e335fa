"""Batching: a replica is free and requests are queued; go now, with how many, or wait?"""
