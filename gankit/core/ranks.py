"""The processes that train one model together, called ranks: one a GPU, or one a few cores, on one host or many.

`torchrun` starts them and says in the environment which is which. PyTorch's collectives are called here alone, so that
one that fails, because a rank was killed or a cable was cut, becomes one error that names the rank that is gone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from gankit.core.errors import GankitError, UsageError
from gankit.core.torch_private import PrefixStore, TCPStore

T = TypeVar("T")
PATIENCE = 600
"""Seconds that a rank waits for the others before it gives them up, by default."""
BEAT = 0.5
"""Seconds between two signs of life of a rank. One that gave none for three times as long is taken for gone."""
ANSWER = 3.0
"""Seconds in which the place that ranks meet at answers, where it can be reached."""
RUN_KEY = "gankit/run"


class RankLost(GankitError):
    """Another rank was killed, failed, or cannot be reached any more."""


@dataclass(frozen=True)
class Ranks:
    """A process among ``world``, number ``local`` on its host; where there is one, as mostly, methods are trivial."""

    rank: int = 0
    world: int = 1
    local: int = 0
    hosts: tuple[str, ...] = ()
    store: Any = field(default=None, repr=False, compare=False)

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.world == 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def part(self, n: int) -> slice:
        """Which of ``n`` consecutive things are this rank's; the first ranks have one more where it does not divide."""
        each, more = divmod(n, self.world)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def sum_(self, tensor: Tensor) -> None:
        """Replace ``tensor``, dense, by its sum over the ranks. RankLost where one does not take part."""
        self.sum_later(tensor)()

    def sum_later(self, tensor: Tensor) -> Callable[[], None]:
        """Begin ``sum_`` and return what waits for its end; until then ``tensor`` must not be touched."""
        if self.alone:
            return lambda: None
        return self._later(lambda: dist.all_reduce(tensor, async_op=True))

    def greatest_later(self, number: int) -> Callable[[], int]:
        """Begin to find the greatest ``number`` of all ranks; returns what waits for it."""
        if self.alone:
            return lambda: number
        tensor = torch.tensor(number)
        wait = self._later(lambda: dist.all_reduce(tensor, dist.ReduceOp.MAX, async_op=True))

        def found() -> int:
            wait()
            return int(tensor)

        return found

    def agreed(self, value: T) -> T:
        """The ``value`` of rank 0; those of the others do not count."""
        if self.alone:
            return value
        box: list[Any] = [value if self.first else None]
        self._now(lambda: dist.broadcast_object_list(box, src=0))
        found: T = box[0]
        return found

    def all_of(self, value: T) -> list[T]:
        """Every rank's ``value``, by rank."""
        if self.alone:
            return [value]
        found: list[Any] = [None] * self.world
        self._now(lambda: dist.all_gather_object(found, value))
        return found

    def at_first(self, value: T) -> list[T]:
        """Every rank's ``value`` on rank 0, by rank; nothing on the others."""
        if self.alone:
            return [value]
        found: list[Any] | None = [None] * self.world if self.first else None
        self._now(lambda: dist.gather_object(value, found, dst=0))
        return found or []

    def wait(self) -> None:
        """Return when all ranks have come here."""
        self.all_of(None)

    def own(self, things: Iterable[T]) -> Iterator[T]:
        """Every ``world``-th of ``things``, from the ``rank``-th on: what this one does of work that all divide."""
        return itertools.islice(iter(things), self.rank, None, self.world)

    def in_turn(self, own: Iterator[T]) -> Iterator[T]:
        """On rank 0 what all ranks have in their ``own``, in the order that it was divided in; on the others nothing,
        once this is exhausted. No rank makes its next before all have theirs.
        """
        if self.alone:
            yield from own
            return
        while True:
            some = list(itertools.islice(own, 1))
            if not self.agreed(bool(some)):  # rank 0 has as many as any
                return
            for each in self.at_first(some):
                yield from each

    def _later(self, begin: Callable[[], Any]) -> Callable[[], None]:
        work = self._now(begin)

        def wait() -> None:
            self._now(work.wait)

        return wait

    def _now(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except RuntimeError as error:
            raise self.lost(error) from error

    def lost(self, error: Exception) -> RankLost:
        """The error to raise where a collective failed by ``error``: it names the ranks that give no sign of life."""
        cause = re.sub(r"^\[[^\]]*\] *", "", str(error).strip().partition("\n")[0]).partition(". ")[0]
        silent = self._silent()
        if silent is None:
            meet = os.environ["MASTER_ADDR"] if _kept() else f"rank 0 on {self.hosts[0]}"
            return RankLost(f"lost {meet}, where the ranks meet ({cause})")
        gone = [f"rank {rank} on {self.hosts[rank]}" for rank in silent if rank != self.rank]
        return RankLost(f"lost {' and '.join(gone) or 'the connection to another rank'} ({cause})")

    def _silent(self) -> list[int] | None:
        """The ranks that give no sign of life for a while; None where the place that they meet at gives none."""
        heard: list[list[bytes]] = []

        def listen() -> None:
            with contextlib.suppress(RuntimeError):
                for wait in (0, 3 * BEAT):
                    time.sleep(wait)
                    heard.append([self.store.get(_beat(rank)) for rank in range(self.world)])

        # In a thread: over a cable that was cut PyTorch's store waits for its answer for ever.
        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        thread.join(3 * BEAT + ANSWER)
        if len(heard) < 2:
            return None
        return [rank for rank, pair in enumerate(zip(*heard, strict=True)) if pair[0] == pair[1]]


ALONE = Ranks()
_current = ALONE


def current() -> Ranks:
    """The ranks that this process has joined; those of a process by itself otherwise."""
    return _current


def launched() -> bool:
    """Whether this process was started as one of several ranks."""
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return all(os.environ.get(name) for name in names) and os.environ["WORLD_SIZE"] != "1"


def is_first() -> bool:
    """Whether this process is to tell what all ranks did: rank 0, or the only one."""
    return not launched() or os.environ["RANK"] == "0"


def restarts() -> int:
    """How often `torchrun` has started the ranks again after one of them failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextlib.contextmanager
def joined(patience: float = PATIENCE) -> Iterator[Ranks]:
    """Within it this process is one of the ranks that `torchrun` started, if it did; they meet at the start and part at
    the end. ``patience``: seconds that one waits for another. UsageError where they cannot meet.
    """
    global _current
    if not _current.alone or not launched():
        yield _current
        return
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local = int(os.environ.get("LOCAL_RANK", "0"))
    limit = timedelta(seconds=patience)
    if local < torch.cuda.device_count():
        torch.cuda.set_device(local)
    try:
        store = _store(rank, world, limit)
        own = PrefixStore(f"gankit/attempt {restarts()}", store)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=own, rank=rank, world_size=world, timeout=limit)
        stop = _beating(own, rank)
        hosts = Ranks(rank, world, local, ("another host",) * world, own).all_of(socket.gethostname())
    except RuntimeError as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise UsageError(f"rank {rank} of {world} found no others at {where}: {str(error).splitlines()[0]}") from error
    _current = Ranks(rank, world, local, tuple(hosts), own)
    try:
        yield _current
        _current.wait()
        dist.destroy_process_group()
    finally:
        stop()
        _current = ALONE


def keep_run(ranks: Ranks, root: str) -> None:
    """Tell ranks that are started again which run these are training."""
    if not ranks.alone:
        ranks.store.underlying_store.set(RUN_KEY, root)


def kept_run(ranks: Ranks) -> str | None:
    """The run that the ranks before a restart were training; None where they came to none."""
    store = ranks.store.underlying_store
    return str(store.get(RUN_KEY).decode()) if store.check([RUN_KEY]) else None


def _store(rank: int, world: int, limit: timedelta) -> Any:
    """What the ranks meet at: kept by `torchrun`, so that it outlives them, or else by rank 0."""
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(*place, world, is_master=not _kept() and rank == 0, timeout=limit, wait_for_workers=False)


def _kept() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _beat(rank: int) -> str:
    return f"beat {rank}"


def _beating(store: Any, rank: int) -> Callable[[], None]:
    """Give signs of life from now on, until what is returned is called."""
    ended = threading.Event()
    own = store.clone()  # a connection of its own: another may be waiting in a long call

    def beat() -> None:
        count = 0
        with contextlib.suppress(RuntimeError):
            while True:
                own.set(_beat(rank), str(count))
                count += 1
                if ended.wait(BEAT):
                    return

    thread = threading.Thread(target=beat, daemon=True, name="gankit signs of life")
    thread.start()

    def stop() -> None:
        ended.set()
        thread.join(ANSWER)  # one that Python's end finds within PyTorch's store would abort the process

    return stop


def told(error: Exception, text: str) -> str | None:
    """What this process says of ``error``, which is called ``text``: of several ranks it names this one. None where
    another tells the same.
    """
    if not launched():
        return text
    rank, world = os.environ["RANK"], os.environ["WORLD_SIZE"]
    if getattr(error, "everywhere", False):
        return text if is_first() else None
    # Before they have met it is most likely a wrong command line, which all ranks of a host have.
    if not dist.is_initialized() and isinstance(error, UsageError):
        return text if os.environ.get("LOCAL_RANK", "0") == "0" else None
    return f"rank {rank} of {world} on {socket.gethostname()}: {text}"
