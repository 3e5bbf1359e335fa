"""What outlives the server: deployed functions, keys and what was learnt, in one SQLite file; its backup and its check."""
