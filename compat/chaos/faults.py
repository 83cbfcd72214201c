"""What is done to the cluster in a round: each fault begins, lasts, and is repaired, all by handles of our own."""

import time

from harness.proxy import CLIENT

# Longer than the sessions of clients (4 s) and of the brokers.
LONG_SECONDS = 6.0
SHORT_SECONDS = 2.5


def _victim(cluster, chance, leads):
    """The quorum's leader, or one of the others."""
    leader = cluster.wait_leader()
    return leader if leads or len(cluster.ids) == 1 else chance.choice([number for number in cluster.ids if number != leader])


def kill(cluster, number, chance):
    """kill -9, and a start on the same disk."""
    cluster.kill(number)
    time.sleep(SHORT_SECONDS)
    cluster.start_node(number)


def terminate(cluster, number, chance):
    """SIGTERM, and a start."""
    code = cluster.terminate(number)
    if code != 0:
        raise AssertionError(f"node {number} ended its clean stop with {code}")
    time.sleep(SHORT_SECONDS)
    cluster.start_node(number)


def wipe(cluster, number, chance):
    """kill -9, and a start with an empty disk, as a new incarnation."""
    cluster.kill(number)
    cluster.nodes[number].wipe()
    time.sleep(SHORT_SECONDS / 2)
    cluster.start_node(number)


def pause(cluster, number, chance):
    """SIGSTOP for longer than any session, and SIGCONT: the node wakes up and believes that no time has passed."""
    cluster.nodes[number].pause()
    time.sleep(LONG_SECONDS)
    cluster.nodes[number].resume()


def isolate(cluster, number, chance):
    """Neither nodes nor clients reach the node, and it reaches nobody."""
    cluster.isolate(number)
    time.sleep(LONG_SECONDS)
    cluster.heal()


def isolate_from_nodes(cluster, number, chance):
    """Clients still reach the node, but no other node does, nor it them."""
    cluster.isolate(number, clients=False)
    time.sleep(LONG_SECONDS)
    cluster.heal()


def mute(cluster, number, chance):
    """The node hears the others, they don't hear it."""
    cluster.isolate(number, incoming=False, clients=False)
    time.sleep(LONG_SECONDS)
    cluster.heal()


def deafen(cluster, number, chance):
    """The others hear the node, it does not hear them."""
    cluster.isolate(number, outgoing=False, clients=False)
    time.sleep(LONG_SECONDS)
    cluster.heal()


def cut_link(cluster, number, chance):
    """Two nodes lose each other; both still reach the third."""
    others = [other for other in cluster.ids if other != number]
    if others:
        other = chance.choice(others)
        cluster.cut((number, other), (other, number))
    time.sleep(LONG_SECONDS)
    cluster.heal()


def cut_clients(cluster, number, chance):
    """The node loses its clients, and only them."""
    cluster.cut((CLIENT, number), (number, CLIENT))
    time.sleep(LONG_SECONDS)
    cluster.heal()


def kill_all(cluster, number, chance):
    """kill -9 of every node at once."""
    for each in cluster.ids:
        cluster.nodes[each].process.kill()
    for each in cluster.ids:
        cluster.kill(each)
    for each in cluster.ids:
        cluster.launch(each)
    for each in cluster.ids:
        cluster.nodes[each].wait_ready()


# Families are dealt in turn, so that a short run meets different ones.
FAMILIES = {
    "kill": [("kill -9", kill, True), ("kill -9", kill, False), ("kill -9 of all", kill_all, None)],
    "pause": [("SIGSTOP", pause, True), ("SIGSTOP", pause, False)],
    "cut": [
        ("isolated", isolate, True), ("isolated", isolate, False), ("isolated from nodes", isolate_from_nodes, True),
        ("isolated from nodes", isolate_from_nodes, False), ("muted", mute, True), ("muted", mute, False),
        ("deafened", deafen, True), ("deafened", deafen, False), ("link cut", cut_link, True), ("link cut", cut_link, False),
        ("clients cut off", cut_clients, True),
    ],
    "wipe": [("emptied disk", wipe, True), ("emptied disk", wipe, False)],
    "stop": [("SIGTERM", terminate, True), ("SIGTERM", terminate, False)],
}


class Fault:
    """One fault with its victim's place in the cluster."""

    def __init__(self, name, action, leads):
        self.name = name if leads is None else f"{name}, {'leader' if leads else 'follower'}"
        self.action = action
        self.leads = leads

    def strike(self, cluster, chance, say):
        """Begins, lasts, and is repaired."""
        number = _victim(cluster, chance, bool(self.leads))
        say(f"{self.name}: node {number}")
        self.action(cluster, number, chance)


def known():
    """Every fault."""
    return [Fault(*entry) for family in FAMILIES.values() for entry in family]


def deal(chance, alone=False):
    """Faults without end: one of each family in turn, and every one of a family before one of it comes again."""
    hands = {}
    while True:
        families = list(FAMILIES)
        chance.shuffle(families)
        for family in families:
            if alone and family == "wipe":
                # A node that is alone has its only copy there.
                continue
            if not hands.get(family):
                hands[family] = list(FAMILIES[family])
                chance.shuffle(hands[family])
            yield Fault(*hands[family].pop())
