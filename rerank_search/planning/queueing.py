"""How long requests take at a given load: waits for a free server, and the slowest of many shards.

A request goes through one stage after another. In each it waits until one of the stage's servers
is free, and is then served. The model of a wait is that of M/G/c, in which requests arrive at
random (Poisson) and one queue feeds c equal servers:

- The share of requests that wait is Erlang's C formula, which is exact for exponential service
  times (Erlang 1917), and for one server with any.
- The mean wait is that of M/M/c, times half the sum of the squared coefficients of variation of
  the times between arrivals (1) and of the service times (Allen 1978; the Allen-Cunneen
  approximation). It is exact for M/M/c, and for M/G/1 (Pollaczek and Khinchine).
- A wait of those that wait is taken as exponential, so the mean gives its whole distribution. It
  is so in M/M/c, and in others as the load grows (Kingman 1962; Tijms, "Stochastic Models", 1994).

Our server reranks in rounds, in which the waiting requests take turns, and a balancer sends a
request to the machine with the fewest. Such requests are slowed down instead of waiting:

- The mean of what they lose at one server is the wait of M/M/1, whatever the service times are
  (processor sharing; Kleinrock, "Queueing Systems", volume 2, 1976). At one of c servers they lose
  more than in a queue that all servers share, because a request stays where it was sent to. With
  Erlang's C and utilisation r it is taken as C / 2 * (1 + (1 + r) / (c (1 - r))) mean service
  times. This is exact for one server, and tends to the wait of M/M/c as the load grows; between
  these it is ours, from simulations. The distribution of the service times hardly matters (Gupta,
  Harchol-Balter, Sigman and Whitt, "Analysis of join-the-shortest-queue routing for web server
  farms", 2007).
- A request loses nothing if it finds a free server, and no other comes to that server meanwhile:
  one comes only if all are busy. With Erlang's C as the chance of that, the share that loses
  something is 1 - (1 - C) exp(-C), which is exact for one server and equal service times.
- What those lose is taken as exponential, and in the mean as in proportion to their own service
  time, as it is under processor sharing (Kleinrock).

A stage that asks several shards at once takes as long as the slowest. The shards are taken as
independent, so the chance that all are done is the product of theirs. Shards that get the same
requests are busy together, which makes the true time shorter (Nelson and Tantawi 1988).

Distributions of stages are added up by convolution. So a percentile is one of the sum, not a sum
of percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

CELLS = 4_096
"""Number of steps that the times of a request are divided into."""

BEYOND = 1e-4
"""Share of a wait's distribution that may lie above the largest time counted."""

MOST_COUNTED = 2_000
"""Number of servers up to which the share of requests that wait is exact."""

Seconds = NDArray[np.float64]
"""Service times in seconds, all equally likely; shape (n,)."""


def waiting_share(servers: int, load: float) -> float:
    """The share of requests that wait (Erlang's C); ``load`` is the mean number of busy servers.

    1 if the load is as much as the servers can do, or more. For more than MOST_COUNTED servers it
    is an upper bound.
    """
    if load >= servers:
        return 1.0
    if servers > MOST_COUNTED:  # part of the servers with part of the load: their share is larger
        servers, load = MOST_COUNTED, load * MOST_COUNTED / servers
    blocked = 1.0  # Erlang's B for no servers; the recursion is stable for any number
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1.0 - load / servers * (1.0 - blocked))


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait: ``share`` of the requests wait at all, and these ``seconds`` in the mean."""

    share: float
    seconds: float

    @property
    def mean(self) -> float:
        """The mean wait of all requests, in seconds."""
        return self.share * self.seconds


def wait(servers: int, rate: float, service: Seconds) -> Wait:
    """The wait for one of ``servers`` servers at ``rate`` requests a second.

    It is infinite if the servers cannot keep up.
    """
    mean = float(service.mean())
    load = rate * mean
    if load >= servers:
        return Wait(1.0, math.inf)
    variation = float(service.var()) / mean**2 if mean else 0.0
    return Wait(waiting_share(servers, load), mean / (servers - load) * (1.0 + variation) / 2)


def delay(servers: int, rate: float, service: Seconds) -> Wait:
    """What requests lose at ``servers`` servers whose requests take turns in small parts.

    The seconds are those of a request of mean service time. They are infinite if the servers
    cannot keep up.
    """
    mean = float(service.mean())
    load = rate * mean
    if load >= servers:
        return Wait(1.0, math.inf)
    busy = waiting_share(servers, load)
    if not busy:
        return Wait(0.0, 0.0)
    share = busy * math.exp(-busy) - math.expm1(-busy)  # 1 - (1 - busy) exp(-busy)
    lost = busy * mean * (1.0 + (1.0 + load / servers) / (servers - load)) / 2
    return Wait(share, lost / share)


@dataclass(frozen=True)
class Stage:
    """A part of a request's way: service times, and the servers that do the work.

    There are ``shards`` groups of ``servers`` servers, and each request is served by one server of
    each group. ``rate`` is the number of requests a second. ``sharing`` says whether requests take
    turns at a server, instead of being served one after another.
    """

    service: Seconds
    servers: int
    rate: float
    shards: int = 1
    sharing: bool = False

    @property
    def utilisation(self) -> float:
        """The share of the time that a server is busy."""
        return self.rate * float(self.service.mean()) / self.servers

    @property
    def wait(self) -> Wait:
        """The wait at one group of servers, or what is lost by sharing them."""
        model = delay if self.sharing else wait
        return model(self.servers, self.rate, self.service)


class Durations:
    """A distribution of times: ``masses[i]`` is the share of ``i`` times ``step`` seconds.

    What is missing to 1 takes longer than the last of them.
    """

    def __init__(self, step: float, masses: Seconds) -> None:
        self.step = step
        self.masses = masses

    @classmethod
    def of_service(cls, step: float, service: Seconds, cells: int = CELLS) -> Durations:
        """Equally likely times; one between two steps is divided between them, as the mean asks."""
        place = service / step
        below = np.floor(place).astype(np.int64)
        masses = np.zeros(cells + 1)
        for cell, share in ((below, 1 - (place - below)), (below + 1, place - below)):
            np.add.at(masses, np.minimum(cell, cells), share / len(service))
        return cls(step, masses[:cells])

    @classmethod
    def of_wait(cls, step: float, wait: Wait, cells: int = CELLS) -> Durations:
        """A wait, exponential for those that wait; one that is infinite has no masses."""
        above = wait.share * np.exp(-(np.arange(cells) + 0.5) * step / wait.seconds)
        return cls(step, -np.diff(above, prepend=1.0))

    @classmethod
    def of_turns(cls, step: float, service: Seconds, lost: Wait, cells: int = CELLS) -> Durations:
        """Equally likely times, and what requests that take turns lose in proportion to them."""
        ends = (np.arange(cells) + 0.5) * step
        done = np.zeros(cells)
        for own in service:
            over = ends[ends >= own] - own
            scale = lost.seconds * own / service.mean()
            done[cells - len(over) :] += 1.0 - lost.share * np.exp(-over / scale)
        return cls(step, np.diff(done / len(service), prepend=0.0))

    def then(self, other: Durations) -> Durations:
        """The sum with independent times of the same step."""
        cells = len(self.masses)
        found = np.fft.irfft(
            np.fft.rfft(self.masses, 2 * cells) * np.fft.rfft(other.masses, 2 * cells), 2 * cells
        )[:cells]
        return Durations(self.step, np.maximum(found, 0.0))

    def slowest_of(self, number: int) -> Durations:
        """The largest of ``number`` independent times."""
        return Durations(self.step, np.diff(np.cumsum(self.masses) ** number, prepend=0.0))

    def percentile(self, share: float) -> float:
        """The time in seconds that this share of requests does not exceed; inf beyond the last."""
        place = int(np.searchsorted(np.cumsum(self.masses), share - 1e-12))
        return place * self.step if place < len(self.masses) else math.inf


def response(stages: Sequence[Stage], *, waits: bool = True) -> Durations:
    """The times of requests that go through all stages.

    ``waits=False`` leaves the waits out: the times of requests that come alone.
    """
    parts = [(stage, stage.wait if waits else Wait(0.0, 0.0)) for stage in stages]
    # A sum of exponential times exceeds the sum of such bounds more rarely than one of them.
    longest = sum(_longest(stage, one) for stage, one in parts)
    step = longest / (CELLS - 1 - len(parts))
    return reduce(Durations.then, (_of_stage(step, stage, one) for stage, one in parts))


def _longest(stage: Stage, one: Wait) -> float:
    """The largest time of a stage that is counted; without the wait if that is infinite."""
    longest = float(stage.service.max())
    if not math.isfinite(one.seconds):
        return longest
    slowed = longest / float(stage.service.mean()) if stage.sharing else 1.0
    return longest + one.seconds * slowed * math.log(stage.shards / BEYOND)


def _of_stage(step: float, stage: Stage, one: Wait) -> Durations:
    if one.seconds and stage.sharing:
        own = Durations.of_turns(step, stage.service, one)
    else:
        own = Durations.of_service(step, stage.service)
        if one.seconds:
            own = own.then(Durations.of_wait(step, one))
    return own.slowest_of(stage.shards) if stage.shards > 1 else own
