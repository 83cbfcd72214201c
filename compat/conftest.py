"""Gives every suite below this folder the fixtures of the harness."""

pytest_plugins = ["harness.fixtures"]
