"""Source trees as bundles: what is packed, how it travels, and where it is kept under the hash of its content."""
