"""Plain graph questions: cycles, loops, and from where a join can still be reached.

Nodes are step keys, edges a mapping from key to the keys it leads to. Nothing here recurses: a workflow of a
thousand steps in a row must not exhaust the stack.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

Edges = Mapping[str, Sequence[str]]
Pair = tuple[str, str]


def reversed_edges(nodes: Iterable[str], edges: Edges) -> dict[str, list[str]]:
    """The same edges, asked from the other end."""
    back: dict[str, list[str]] = {node: [] for node in nodes}
    for source in back:
        for target in edges.get(source, ()):
            back[target].append(source)
    return back


def reachable(starts: Iterable[str], edges: Edges, *, barrier: str | None = None) -> frozenset[str]:
    """The starts and all that can be reached from them without stepping on `barrier`."""
    seen = {start for start in starts if start != barrier}
    waiting = list(seen)
    while waiting:
        for target in edges.get(waiting.pop(), ()):
            if target not in seen and target != barrier:
                seen.add(target)
                waiting.append(target)
    return frozenset(seen)


def components(nodes: Sequence[str], edges: Edges) -> list[list[str]]:
    """Strongly connected components (Tarjan), each in the order of `nodes`, callees before callers."""
    order = {node: place for place, node in enumerate(nodes)}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    on_stack: set[str] = set()
    for root in nodes:
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = []
        _open(root, index, low, stack, on_stack)
        work.append((root, iter(edges.get(root, ()))))
        while work:
            node, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    found.append(sorted(_close(node, stack, on_stack), key=order.__getitem__))
            elif target not in index:
                _open(target, index, low, stack, on_stack)
                work.append((target, iter(edges.get(target, ()))))
            elif target in on_stack:
                low[node] = min(low[node], index[target])
    return found


def _open(node: str, index: dict[str, int], low: dict[str, int], stack: list[str], on_stack: set[str]) -> None:
    index[node] = low[node] = len(index)
    stack.append(node)
    on_stack.add(node)


def _close(node: str, stack: list[str], on_stack: set[str]) -> list[str]:
    members = []
    while True:
        member = stack.pop()
        on_stack.discard(member)
        members.append(member)
        if member == node:
            return members


def cycles(nodes: Sequence[str], edges: Edges) -> list[list[str]]:
    """Components that contain a cycle, a step leading to itself included."""
    return [group for group in components(nodes, edges) if len(group) > 1 or group[0] in edges.get(group[0], ())]


def entrances(nodes: Sequence[str], edges: Edges) -> list[str]:
    """One node of every component that nothing outside leads into: the first in the order of `nodes`.

    A step without incoming edges is such a component by itself. When the whole workflow is one loop, it begins
    where its author began to write.
    """
    home: dict[str, int] = {}
    groups = components(nodes, edges)
    for number, group in enumerate(groups):
        home.update(dict.fromkeys(group, number))
    entered = {home[target] for node in nodes for target in edges.get(node, ()) if home[target] != home[node]}
    firsts = [group[0] for number, group in enumerate(groups) if number not in entered]
    return sorted(firsts, key={node: place for place, node in enumerate(nodes)}.__getitem__)


def back_edges(start: str, edges: Edges) -> frozenset[Pair]:
    """Edges that lead back into a loop: those that meet their own path in a depth-first walk from the start.

    For graphs whose loops have one entry each, every walk finds the same ones; for others the order in which
    transitions are written decides. What remains without them has no cycle.
    """
    back: set[Pair] = set()
    done: set[str] = set()
    path: set[str] = {start}
    work = [(start, iter(edges.get(start, ())))]
    while work:
        node, targets = work[-1]
        target = next(targets, None)
        if target is None:
            work.pop()
            path.discard(node)
            done.add(node)
        elif target in path:
            back.add((node, target))
        elif target not in done:
            path.add(target)
            work.append((target, iter(edges.get(target, ()))))
    return frozenset(back)


def loops(back: Iterable[Pair], reverse: Edges) -> dict[Pair, frozenset[str]]:
    """The steps of the loop that each back edge closes: its head, and all that lead to a tail without the head.

    Back edges to the same head close one loop: whichever way a turn has gone, the next one begins there.
    """
    tails: dict[str, list[str]] = {}
    for tail, head in back:
        tails.setdefault(head, []).append(tail)
    members = {head: reachable(ends, reverse, barrier=head) | {head} for head, ends in tails.items()}
    return {(tail, head): members[head] for head, ends in tails.items() for tail in ends}


def feeders(
    join: str, sources: Iterable[str], reverse: Edges, members: Mapping[Pair, Collection[str]]
) -> dict[str, frozenset[str]]:
    """For each source of the join: the steps from which a token can still arrive through it in this wave.

    A back edge of a loop around the join begins another wave, so it is not followed. `members`: see `loops`.
    """
    around = {edge for edge, inside in members.items() if join in inside}
    tails: dict[str, set[str]] = {}
    for tail, head in around:
        tails.setdefault(head, set()).add(tail)
    within: Edges = reverse
    if tails:
        within = {
            node: [source for source in before if source not in tails.get(node, ())] for node, before in reverse.items()
        }
    return {source: reachable((source,), within, barrier=join) for source in sources}
