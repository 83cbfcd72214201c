"""What every client of the load has in common: a thread that works while it may, and the pulse of its successes."""

import threading
import time


class Pulse:
    """The longest time between two successes of one client since the last reset."""

    def __init__(self):
        self.last = None
        self.longest = 0.0
        self.count = 0

    def reset(self):
        """A new stretch of time begins now."""
        self.last = time.monotonic()
        self.longest = 0.0

    def beat(self):
        """A success; it counts for nothing between `end` and the next `reset`."""
        self.count += 1
        if self.last is not None:
            now = time.monotonic()
            self.longest = max(self.longest, now - self.last)
            self.last = now

    def end(self):
        """No success is expected from now on; what went by since the last one counts."""
        if self.last is not None:
            self.longest = max(self.longest, time.monotonic() - self.last)
            self.last = None


class Actor(threading.Thread):
    """Calls `step` again and again while its gate is open; `kind` names its column of the report."""

    kind = "client"

    def __init__(self, name):
        super().__init__(daemon=True, name=name)
        self.pulses = {None: Pulse()}
        self.problems = []
        self.gate = threading.Event()
        self.idle = threading.Event()
        self.idle.set()
        self.ended = threading.Event()

    def run(self):
        while not self.ended.is_set():
            if not self.gate.is_set():
                self.idle.set()
                self.gate.wait(0.1)
                continue
            self.idle.clear()
            # The gate may have closed in between: whoever closed it must find this thread busy or idle, not both.
            if not self.gate.is_set():
                continue
            try:
                self.step()
            except Exception as error:
                # A load that dies proves nothing: whatever no step expects is a finding.
                self.problem(f"unexpected {type(error).__name__}: {error}")
                time.sleep(0.2)
        self.idle.set()

    def step(self):
        """One piece of work, bounded in time."""
        raise NotImplementedError

    def problem(self, text):
        """Something that must not happen."""
        self.problems.append(f"{self.name}: {text}")

    def open(self):
        """Lets it work."""
        self.gate.set()

    def measure(self):
        """Its outages count from now."""
        for pulse in self.pulses.values():
            pulse.reset()

    def measured(self):
        """Its outages no longer count."""
        for pulse in self.pulses.values():
            pulse.end()

    def pause(self):
        """Lets it finish what it does; `wait_idle` waits for that."""
        self.gate.clear()

    def wait_idle(self, timeout):
        """False if it is still busy after `timeout` seconds."""
        return self.idle.wait(timeout)

    def end(self):
        """Ends the thread."""
        self.ended.set()
        self.gate.set()
        self.join(30)

    def longest_outage(self):
        """The longest gap of any of its pulses."""
        return max(pulse.longest for pulse in self.pulses.values())
