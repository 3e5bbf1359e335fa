"""The admin port: health, metrics and the API that shows what the server is doing."""
