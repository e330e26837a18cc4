"""The room for workers on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from rerank_search.errors import ClusterError
from rerank_search.models.threads import available_cores
from rerank_search.settings import Settings
from rerank_search.shown import counted


@dataclass(frozen=True, slots=True)
class Room:
    """What a worker takes, and how many workers a cluster has room for.

    ``fit`` counts those that fit on its machines when they are idle, ``free`` those that fit now.
    """

    cpus: int
    gpus: int
    threads: int
    fit: int
    free: int

    @classmethod
    def of(cls, ray: ModuleType, device: str) -> Room:
        """The room on the cluster that this process is connected to."""
        threads = Settings().threads or available_cores()
        gpus = int(device.startswith("cuda"))
        cpus = 1 if gpus else threads
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fit = sum(_fitting(machine, cpus, gpus) for machine in machines)
        return cls(cpus, gpus, threads, fit, _fitting(ray.available_resources(), cpus, gpus))

    def workers(self, wanted: int | None) -> int:
        """The number of workers to start.

        Raises ClusterError for a number that would wait for ever, or for other programs.
        """
        takes = f"{counted(self.cpus, 'CPU')}{' and a GPU' if self.gpus else ''}"
        if self.fit < (wanted or 1):
            raise ClusterError(
                f"the Ray cluster has room for {counted(self.fit, 'worker')} that "
                f"take {takes} each, and {counted(wanted or 1, 'worker')} would wait for ever: "
                "start fewer, add machines, or set RERANK_SEARCH_THREADS to the CPUs of a worker"
            )
        if self.free < (wanted or 1):
            raise ClusterError(
                f"the Ray cluster has room now for {counted(self.free, 'worker')} that take "
                f"{takes} each, and for {self.fit:,} when it is idle: wait for the programs that "
                "use it, or start fewer workers"
            )
        return wanted or min(self.fit, self.free)


def _fitting(resources: dict[str, float], cpus: int, gpus: int) -> int:
    by_cpu = int(resources.get("CPU", 0.0) // cpus)
    return min(by_cpu, int(resources.get("GPU", 0.0) // gpus)) if gpus else by_cpu
