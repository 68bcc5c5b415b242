"""The mapped Program played in events: the door to SimPy.

Every layer is a few processes (one per operand that loads, one per core, the vector unit, the store) that pass pieces of tiles to one
another: a piece is worked on when its operands are in, and a tile loads when one of its buffers is free.  Transfers queue for a DMA
engine, then for the ports and buses on their way; a unit's own feed goes before them.  Reads and writes of the same banks collide.

A layer whose state comes back after some pieces has reached a steady state: whole periods are then skipped, exactly.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import simpy

from hwsim.arch import Arch
from hwsim.steps.flow import Flow
from hwsim.steps.spans import Log, Seen
from hwsim.steps.tiles import PIECES, Part, TiledLayer, Transfer

__all__ = ["flow", "play"]

Process = Generator[Any, Any, None]
SIDES = (("read", "write"), ("write", "read"))


def play(arch: Arch, layers: Sequence[TiledLayer]) -> Log:
    """Layers one after the other, tile by tile; a layer's early weights come beside the layer before it."""
    machine = Machine(arch)
    machine.env.process(machine.run(layers))
    machine.env.run()
    return machine.log


def flow(layers: Sequence[Flow]) -> Log:
    """Layers one after the other without contention: each unit has all of its work at once, beside the others."""
    env, log = simpy.Environment(), Log()

    def unit(name: str, layer: Flow, work: str, ticks: int) -> Process:
        log.add(name, layer.name, work, int(env.now), ticks, layer.bits.get(name, 0.0))
        yield env.timeout(ticks)

    def chain(layer: Flow) -> Process:
        for name, ticks in layer.apart:
            yield env.process(unit(name, layer, "work", ticks))

    def run() -> Process:
        for layer in layers:
            start = int(env.now)
            for name, work, ticks in layer.before:
                yield env.process(unit(name, layer, work, ticks))
            beside = [env.process(unit(name, layer, "work", ticks)) for name, ticks in layer.beside.items()]
            yield env.all_of([*beside, env.process(chain(layer))])
            log.layer(layer.name, start, int(env.now))

    env.process(run())
    env.run()
    return log


class Gate:
    """Counts what has passed, and lets processes wait until so many have."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env, self.passed = env, 0
        self.waiting: dict[int, simpy.Event] = {}

    def open(self) -> None:
        self.passed += 1
        if self.passed in self.waiting:
            self.waiting.pop(self.passed).succeed()

    def reached(self, count: int) -> simpy.Event:
        """An event that happens when `count` have passed."""
        return self.env.timeout(0) if self.passed >= count else self.waiting.setdefault(count, self.env.event())


class Port:
    """First come, first served, but for a unit at work, whose feed goes between the others' words and puts them off."""

    def __init__(self) -> None:
        self.free = self.fed = 0

    def take(self, now: int, ticks: int, first: bool = False) -> tuple[int, int]:
        """From when to when the port works on something that comes now; `first`: before what waits."""
        start = max(now, self.fed if first else self.free)
        self.free = max(now, self.free) + ticks
        if first:
            self.fed = start + ticks
        return start, start + ticks


class Machine:
    """The chip's units in one SimPy environment; `skipped` ticks of steady states are on no clock but in the log."""

    def __init__(self, arch: Arch) -> None:
        self.env, self.log = simpy.Environment(), Log()
        self.skipped = self.background = 0
        self.ports: dict[str, Port] = {}
        self.engines = [Port() for _ in range(arch.dma.channels)]
        self.slots = simpy.Resource(self.env, arch.dma.channels * arch.dma.queue)
        self.banks = {f"{n} {a}": (f"{n} {b}", m.banks) for n, m in arch.memories.items() if m.bank_ports == 1 for a, b in SIDES}
        self.due: list[tuple[int, str]] = []

    @property
    def now(self) -> int:
        return int(self.env.now)

    def run(self, layers: Sequence[TiledLayer]) -> Process:
        early: dict[int, list[simpy.Process]] = {}
        for i, layer in enumerate(layers):
            start = self.now + self.skipped
            for k, later in enumerate(layers[i + 1 :], i + 1):
                if k - i in later.ahead:
                    early.setdefault(k, []).append(self.env.process(self.early(later, later.ahead[k - i])))
            yield from self.layer(layer, early.pop(i, []))
            self.log.layer(layer.name, start, self.now + self.skipped)

    def layer(self, layer: TiledLayer, early: list[simpy.Process]) -> Process:
        """Issued by the host; begun when what comes early is in; done when no port works for it any more."""
        self.log.add("host", layer.name, "issue", self.now + self.skipped, layer.overhead)
        yield self.env.timeout(layer.overhead)
        yield self.env.all_of(early)
        yield Run(self, layer).start()
        if not self.background:
            yield from self.until(max([self.now, *(p.free for p in self.ports.values())]), "ports")

    def early(self, layer: TiledLayer, piece: Transfer) -> Process:
        """Weights of a later layer, piece by piece between the transfers of those before it."""
        self.background += 1
        for _ in range(PIECES):
            yield from self.transfer(layer, piece, "prefetch")
        self.background -= 1

    def until(self, due: int, what: str) -> Process:
        """Wait, in view of whoever compares states."""
        self.due.append((due, what))
        yield self.env.timeout(due - self.now)
        self.due.remove((due, what))

    def transfer(self, layer: TiledLayer, transfer: Transfer, work: str, setup: int = 0) -> Process:
        """Started by a DMA engine, then through all ports at once; done when the slowest is."""
        with self.slots.request() as slot:
            yield slot
            engine = min(self.engines, key=lambda e: e.free)
            yield from self.until(engine.take(self.now, setup)[1] + transfer.latency, work)
            yield from self.until(self.take(layer, transfer, work), work)

    def take(self, layer: TiledLayer, transfer: Transfer, work: str) -> int:
        """Queue at all ports of a transfer; when the last of them is done."""
        return max((self._pass(layer, part, work) for part in transfer.parts), default=self.now)

    def _pass(self, layer: TiledLayer, part: Part, work: str) -> int:
        port = self.ports.setdefault(part.port, Port())
        start, end = port.take(self.now, part.ticks, work == "feed")
        if part.port in self.banks:
            name, banks = self.banks[part.port]
            lost = max(0, min(end, self.ports.setdefault(name, Port()).free) - start) // banks
            end, port.free = end + lost, port.free + lost
        self.log.add(part.port, layer.name, work, start + self.skipped, end - start, part.bits)
        return end


class Run:
    """One layer on the machine: gates between its processes, and the states seen so far."""

    def __init__(self, machine: Machine, layer: TiledLayer) -> None:
        self.machine, self.at, self.env = machine, layer, machine.env
        self.total = layer.total
        self.loaded = {o: Gate(self.env) for o in layer.first}
        self.begun = dict.fromkeys(layer.first, 0)
        self.cores = [0] * layer.cores
        self.worked, self.finished, self.stored = Gate(self.env), Gate(self.env), Gate(self.env)
        self.seen: dict[Any, tuple[int, int, Seen]] = {}

    def start(self) -> simpy.Event:
        """All processes of the layer; the event that the last of them is done."""
        work = [*map(self.load, self.at.first), *map(self.core, range(self.at.cores)), self.finish(), self.store()]
        return self.env.all_of([self.env.process(p) for p in work])

    def load(self, operand: str) -> Process:
        """Every tile, as soon as a buffer is free: the tile that lay in it is worked off."""
        at, tile = self.at, 0
        while tile * at.pieces < self.total:
            yield self.worked.reached((tile - at.buffers[operand] + 1) * at.pieces)
            self.begun[operand] = tile + 1
            self.env.process(self._load(operand, at.rest[operand] if tile else at.first[operand]))
            tile += 1

    def _load(self, operand: str, transfer: Transfer) -> Process:
        yield from self.machine.transfer(self.at, transfer, f"load {operand}", self.at.setup)
        self.loaded[operand].open()

    def core(self, k: int) -> Process:
        """A core's share of every piece, when its tile is in and results of pieces before have left their buffer."""
        at, machine, i = self.at, self.machine, 0
        name = at.unit if at.cores == 1 else f"{at.unit} {k}"
        while i < self.total:
            for gate in self.loaded.values():
                yield gate.reached(i // at.pieces + 1)
            yield self.stored.reached(i + 1 - at.buffers["outputs"] * at.pieces)
            now, lag = machine.now, 0 if i else at.feed.latency
            end = lag + max(now + at.compute, machine.take(at, at.feed, "feed"))
            if at.unit:
                machine.log.add(name, at.name, "compute", now + machine.skipped, end - now, working=at.compute)
            yield from machine.until(end, name)
            i += 1
            self.cores[k] = i
            if min(self.cores) > self.worked.passed:
                self.worked.open()
            if at.apart:
                yield self.finished.reached(i)

    def finish(self) -> Process:
        """Requantization and other vector work, piece by piece."""
        at, machine, i = self.at, self.machine, 0
        while i < self.total:
            yield self.worked.reached(i + 1)
            machine.log.add(at.vector, at.name, "finish", machine.now + machine.skipped, at.finish)
            yield from machine.until(machine.now + at.finish, "finish")
            self.finished.open()
            i += 1

    def store(self) -> Process:
        """Results leave in order."""
        i = 0
        while i < self.total:
            yield self.finished.reached(i + 1)
            if self.at.store.parts:
                yield from self.machine.transfer(self.at, self.at.store, "store")
            self.stored.open()
            i += 1
            self.skip(i)

    def skip(self, done: int) -> None:
        """Leave out whole periods once a state has come back and nothing else goes on."""
        machine, at = self.machine, self.at
        furthest = max(done + 4 * at.pieces, *((b + 1) * at.pieces for b in self.begun.values()), 0)
        if machine.background or done < 2 * at.pieces or furthest >= self.total:
            return
        state, now = self.state(done), machine.now
        before, then, sums = self.seen.get(state, (done, now, {}))
        times = (self.total - furthest) // (done - before) if before < done else 0
        if times:
            machine.log.repeat(at.name, sums, now - then, times)
            machine.skipped += times * (now - then)
            self.total -= times * (done - before)
        self.seen[state] = done, now, dict(machine.log.sums)

    def state(self, done: int) -> Any:
        """Everything that decides what happens next, relative to this moment and this piece."""
        machine, now = self.machine, self.machine.now
        tiles = tuple(n * self.at.pieces - done for n in (*(g.passed for g in self.loaded.values()), *self.begun.values()))
        pieces = tuple(n - done for n in (*self.cores, self.worked.passed, self.finished.passed))
        clocks = tuple((max(p.free - now, 0), max(p.fed - now, 0)) for p in (*machine.ports.values(), *machine.engines))
        waits = tuple(sorted((due - now, what) for due, what in machine.due))
        return done % self.at.pieces, tiles, pieces, clocks, waits, len(machine.slots.users), len(machine.slots.queue)
