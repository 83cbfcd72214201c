"""Starts servers, runs Apache's tools, and waits for conditions; shared by every suite of compat/."""
