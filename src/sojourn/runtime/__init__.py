"""The live driver: runs the core on an asyncio loop against real replicas."""
