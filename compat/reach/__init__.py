"""What a cluster of three costs and how long its outages are; run by `python -m reach`."""
