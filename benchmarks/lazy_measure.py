"""What `benchmarks.lazy` measures: a limit of memory, time per call, and many processes."""

from __future__ import annotations

import contextlib
import mmap
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.cases import Generation
from benchmarks.lazy_process import CALL, PREDICT, STOCK, Call, Load, Measured, Subject, measured
from benchmarks.measure import ROOT, BenchmarkError
from benchmarks.memory_limit import memory_limit
from benchmarks.page_cache import forget
from benchmarks.resident import Watch, resident

#: What a process may take besides its imports and the budget.
HEADROOM_BYTES: Final = 128 * 2**20
CALLS: Final = tuple(Call(how=how, batch=batch) for batch in (1, 32) for how in (CALL, PREDICT))
_CHUNK_BYTES: Final = 8 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """What became of a process with a limit.

    Attributes:
        weights: how they were loaded.
        limiter: what limited it.
        limit: bytes that it might take.
        calls: how many it made.
        status: its exit status if it ended before the last one; -9 where it was killed.
        looks: how often somebody looked at its memory.
        of_twin: the most bytes of the twin that it had in memory.
        growth: the most bytes that it had in memory more than after its imports.
    """

    weights: str
    limiter: str
    limit: int
    calls: int
    status: int | None
    looks: int
    of_twin: int
    growth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Median seconds of one kind of call, and of reading what it needs.

    Attributes:
        call: which.
        read: to read the twin from the page cache into one small buffer, again and again.
        mapped: to map the twin and touch each of its pages.
        eager: of a call with all weights in memory.
        lazy: of a call with some of them.
    """

    call: Call
    read: float
    mapped: float
    eager: float
    lazy: float

    @property
    def ratio(self) -> float:
        """Times of a lazy call to reading and computing one after the other."""
        return self.lazy / (self.read + self.eager)

    @property
    def strict_ratio(self) -> float:
        """The same, where reading is no more than mapping."""
        return self.lazy / (self.mapped + self.eager)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What processes with one mapped twin have in memory together.

    Attributes:
        processes: how many.
        nbytes: of one copy of the weights.
        share: proportional shares of the twin, summed up.
        growth: median bytes of memory that is not the twin's, over the imports of a process.
    """

    processes: int
    nbytes: int
    share: int
    growth: int


class Outputs:
    """Digests of outputs, which are the same for all weights."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Subject, str, int], str] = {}

    def call(self, process: Measured, asked: Call) -> float:
        """Call, and return the seconds.

        Raises:
            BenchmarkError: the outputs are not those of before.
            EOFError: the process has ended.
        """
        seconds, digest = process.call(asked)
        expected = self._seen.setdefault((process.subject, asked.how, asked.batch), digest)
        if digest != expected:
            raise BenchmarkError(f"{process.subject}: {asked} gave other bytes than before")
        return seconds


def prepare(size: str, generation: Generation, work: Path) -> Subject:
    """Save the network where it is missing, and convert it."""
    suffix = ".keras" if generation is Generation.KERAS3 else ".h5"
    path = work / "models" / "lazy" / f"{size}-{generation.value}{suffix}"
    if not path.exists():
        partial = path.with_name(f"partial-{path.name}")
        module = "benchmarks.lazy_networks"
        command = [sys.executable, "-m", module, size, generation.value, str(partial)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchmarkError(done.stderr.strip()[-2000:])
        partial.replace(path)
    return Subject(size=size, generation=generation, path=path)


def twin_of(subject: Subject, cache: Path) -> Path:
    """Return the twin, written now if it is missing."""
    with measured(subject, cache) as process:
        process.wait()
        return process.load(Load(weights="mapped"))


def take_down_stock(subject: Subject, cache: Path, outputs: Outputs, calls: Sequence[Call]) -> None:
    """Have *outputs* expect what the stock loader's model gives, without any limit."""
    with measured(subject, cache) as process:
        process.wait()
        process.load(Load(weights=STOCK))
        for call in calls:
            outputs.call(process, call)


def limited(
    subject: Subject, load: Load, cache: Path, outputs: Outputs, calls: Sequence[Call]
) -> Limited:
    """Load and call within a limit: what imports take, the budget, and `HEADROOM_BYTES`.

    The page cache forgets twin and model first, so that what the process reads is counted.

    Raises:
        BenchmarkError: the outputs are not those of before.
    """
    assert load.budget is not None  # noqa: S101 - the limit is made of it
    twin, made = twin_of(subject, cache), 0
    forget([twin, subject.path])
    with memory_limit() as limiter, measured(subject, cache) as process:
        limiter.add(process.process)
        process.wait()
        before = resident(process.process.pid, twin).in_all
        limit = limiter.allow(load.budget + HEADROOM_BYTES)
        watch = Watch(process.process.pid, twin)
        with watch.looking(), contextlib.suppress(EOFError):
            process.load(load)
            for call in calls:
                outputs.call(process, call)
                made += 1
        status = process.process.poll()
    return Limited(
        weights=load.weights,
        limiter=limiter.name,
        limit=limit,
        calls=made,
        status=status,
        looks=watch.looks,
        of_twin=watch.of_file,
        growth=watch.in_all - before,
    )


def time_calls(
    subject: Subject, budget: int, cache: Path, outputs: Outputs, rounds: int
) -> Iterator[Seconds]:
    """Time each kind of call, eager and lazy in processes that take turns.

    Raises:
        BenchmarkError: the outputs are not those of before.
    """
    twin = _twin_read_anew(subject, cache)
    with measured(subject, cache) as eager, measured(subject, cache) as lazy:
        for process, load in (
            (eager, Load(weights="eager")),
            (lazy, Load(weights="lazy", budget=budget)),
        ):
            process.wait()
            process.load(load)
        for call in CALLS:
            read, mapped, of_eager, of_lazy = _medians(
                lambda: _timed(_read, twin),
                lambda: _timed(_map, twin),
                lambda call=call: outputs.call(eager, call),  # type: ignore[misc]
                lambda call=call: outputs.call(lazy, call),  # type: ignore[misc]
                rounds=rounds,
            )
            yield Seconds(call=call, read=read, mapped=mapped, eager=of_eager, lazy=of_lazy)


def time_fitting(
    subject: Subject, cache: Path, outputs: Outputs, rounds: int
) -> Iterator[tuple[Call, float, float]]:
    """Time calls of an eager model, and of one whose budget all weights fit in, in one process.

    Yields:
        The call, and the median seconds of the eager model and of the other.
    """
    _twin_read_anew(subject, cache)
    with measured(subject, cache) as process:
        process.wait()
        process.load(Load(weights="eager", name="eager"))
        process.load(Load(weights="lazy", budget=2**62, name="fitting"))
        for how in (CALL, PREDICT):
            eager, fitting = _medians(
                lambda how=how: outputs.call(process, Call(how=how, name="eager")),  # type: ignore[misc]
                lambda how=how: outputs.call(process, Call(how=how, name="fitting")),  # type: ignore[misc]
                rounds=rounds,
            )
            yield Call(how=how), eager, fitting


def share(subject: Subject, cache: Path, outputs: Outputs, processes: int) -> Copies:
    """Have *processes* map one twin and use all of it, and look at all of them."""
    twin = twin_of(subject, cache)
    with ExitStack() as running:
        group = [running.enter_context(measured(subject, cache)) for _ in range(processes)]
        growth = []
        for process in group:
            process.wait()
            before = resident(process.process.pid, twin)
            process.load(Load(weights="mapped"))
            outputs.call(process, Call())
            after = resident(process.process.pid, twin)
            growth.append(after.in_all - after.of_file - before.in_all)
        found = [resident(process.process.pid, twin) for process in group]
    return Copies(
        processes=processes,
        nbytes=twin.stat().st_size,
        share=sum(each.share for each in found),
        growth=int(statistics.median(growth)),
    )


def _medians(*timed: Callable[[], float], rounds: int) -> list[float]:
    """Run all of *timed* in turns, forth and back; the first time of each does not count."""
    for each in timed:
        each()
    order = list(range(len(timed)))
    taken: list[list[float]] = [[] for _ in timed]
    for _ in range(rounds):
        for place in order:
            taken[place].append(timed[place]())
        order.reverse()
    return [statistics.median(seconds) for seconds in taken]


def _timed(work: Callable[[Path], None], path: Path) -> float:
    start = time.perf_counter()
    work(path)
    return time.perf_counter() - start


def _read(path: Path) -> None:
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _map(path: Path) -> None:
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    np.frombuffer(pages, np.uint8)[:: mmap.PAGESIZE].max()


def _twin_read_anew(subject: Subject, cache: Path) -> Path:
    """Return the twin, in the page cache as one reading leaves it: in huge pages where it can."""
    twin = twin_of(subject, cache)
    forget([twin])
    _read(twin)
    return twin
