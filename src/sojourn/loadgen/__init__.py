"""An open-loop HTTP load generator that measures itself as strictly as the server."""
