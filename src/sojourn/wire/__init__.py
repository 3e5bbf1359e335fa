"""The replica protocol: messages and framing. Pure bytes, no sockets."""
