"""The pure core: two state machines that take an event and the time and return actions."""
