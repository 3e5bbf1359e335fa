"""Tests of functions without a server, and of clients with a real one."""
