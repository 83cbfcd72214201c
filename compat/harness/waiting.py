"""Waiting for a condition: the only way in which a test of compat/ may spend time."""

import time


def wait_until(condition, timeout=30.0, what=None, every=0.02):
    """Returns the first true result of `condition`; fails with `what` when `timeout` seconds have passed."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what or condition.__doc__ or condition}")
        time.sleep(every)
