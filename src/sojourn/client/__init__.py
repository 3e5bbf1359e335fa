"""The Python client of a running server: `sojourn.Client` and `sojourn.AsyncClient`.

What both do is decided without a socket: `course` says it step by step, from what `calls`, `session`, `retry`, `conversation`
and `answers` know; `blocking` and `asynchronous` carry the steps out.
"""
