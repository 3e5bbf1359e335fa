"""The Python client of a running server: `sojourn.Client` and `sojourn.AsyncClient`.

What both do is decided without a socket (`calls`, `retry`, `conversation`, `answers`); `blocking` and
`asynchronous` drive it.
"""
