"""The inference port: HTTP/1.1 in, bytes to the runtime, bytes out; no body is ever parsed here."""
