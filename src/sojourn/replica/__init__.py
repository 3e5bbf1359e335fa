"""The model process: loads one function, decodes, calls it, encodes. Started by a launcher.

Whatever is imported here is paid at every cold start, so it is little: no core, no web framework, and
asyncio only where the function is `async`.
"""
