"""Three nodes, clients of both worlds under load, and faults; run by `python -m chaos`."""
