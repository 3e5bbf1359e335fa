"""When requests arrive: seeded generators of arrival times, recorded traces, and their short text form."""
