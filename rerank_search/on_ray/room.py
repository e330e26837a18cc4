"""The room for workers on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from rerank_search.errors import ClusterError
from rerank_search.models.threads import available_cores
from rerank_search.settings import Settings
from rerank_search.shown import counted


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker takes of a cluster, and the threads that it computes with."""

    cpus: int
    gpus: int
    threads: int

    @classmethod
    def on(cls, device: str) -> Share:
        """The share of a worker whose model is on this torch device."""
        threads = Settings().threads or available_cores()
        on_gpu = device.startswith("cuda")
        return cls(cpus=1 if on_gpu else threads, gpus=int(on_gpu), threads=threads)

    def __str__(self) -> str:
        return f"{counted(self.cpus, 'CPU')}{' and a GPU' if self.gpus else ''}"

    @property
    def resources(self) -> dict[str, float]:
        """The share by the names of Ray."""
        return {"CPU": float(self.cpus)} | ({"GPU": float(self.gpus)} if self.gpus else {})


def workers_for(
    ray: ModuleType, share: Share, calls: int, *, wanted: int | None, wait: float
) -> int:
    """The number of workers to start for so many calls.

    Without ``wanted`` as many as there is room for after ``wait`` seconds. Raises ClusterError if
    no worker, or fewer than wanted, would find room, instead of waiting for ever.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fit = sum(_fitting(machine, share) for machine in machines)
    if fit < (wanted or 1):
        raise ClusterError(
            f"the Ray cluster has room for {counted(fit, 'worker')} that take {share} each, and "
            f"{counted(wanted or 1, 'worker')} would wait for ever: start fewer, add machines, or "
            "set RERANK_SEARCH_THREADS to the CPUs of a worker"
        )
    count = min(wanted or fit, calls)
    while not _is_free(ray, share, count, wait):
        if wanted is not None or count == 1:
            raise ClusterError(
                f"the Ray cluster has no room now for {counted(count, 'worker')} that take {share} "
                f"each, but for {fit:,} when it is idle: wait for the programs that use it, or "
                "start fewer workers"
            )
        count, wait = count // 2, 1.0
    return count


def _fitting(resources: dict[str, float], share: Share) -> int:
    return min(int(resources.get(name, 0.0) // takes) for name, takes in share.resources.items())


def _is_free(ray: ModuleType, share: Share, count: int, wait: float) -> bool:
    """Whether so many workers find room within ``wait`` seconds, each on one machine."""
    held = ray.util.placement_group([share.resources] * count)
    try:
        return bool(held.wait(wait))
    finally:
        ray.util.remove_placement_group(held)
