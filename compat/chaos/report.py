"""The account of a run: what was acknowledged, what is wrong, and who had to wait how long for what."""

from collections import defaultdict

from chaos.oracles import Verdict


class Report:
    """Filled round by round."""

    def __init__(self, seed, nodes):
        self.seed = seed
        self.nodes = nodes
        self.rounds = 0
        self.verdict = Verdict()
        self.problems = []
        # By fault: how many rounds, the longest recovery, and by kind of client the longest outage.
        self.counts = defaultdict(int)
        self.healed = defaultdict(float)
        self.outages = defaultdict(lambda: defaultdict(float))

    def round(self, fault, outages, healed, problems):
        """One round's outcome."""
        self.rounds += 1
        self.counts[fault] += 1
        self.healed[fault] = max(self.healed[fault], healed)
        self.problems += problems
        for kind, seconds in outages.items():
            self.outages[fault][kind] = max(self.outages[fault][kind], seconds)

    def text(self):
        """The report as it is printed."""
        kinds = sorted({kind for outages in self.outages.values() for kind in outages})
        lines = [
            "",
            f"{self.rounds} rounds on {self.nodes} nodes, seed {self.seed}",
            f"acknowledged writes: {self.verdict.acknowledged}",
            f"lost: {self.verdict.lost}",
            f"duplicated: {self.verdict.duplicated}",
            f"problems: {len(self.problems)}",
            *(f"  {problem}" for problem in self.problems[:50]),
            "",
            "longest outage in seconds, by fault and by kind of client; `whole`: every replica in sync after the repair",
            "",
            f"| fault | rounds | whole | {' | '.join(kinds)} |",
            f"|---|---|---|{'---|' * len(kinds)}",
        ]
        for fault in sorted(self.outages):
            cells = " | ".join(f"{self.outages[fault][kind]:.1f}" for kind in kinds)
            lines.append(f"| {fault} | {self.counts[fault]} | {self.healed[fault]:.1f} | {cells} |")
        if self.problems:
            lines += ["", f"replay the same faults: cargo xtask chaos --rounds {self.rounds} --seed {self.seed}"]
        return "\n".join(lines)
