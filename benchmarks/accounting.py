"""The resources of processes: CPU from /proc/PID/stat, memory from /proc/PID/smaps_rollup (proc(5))."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int, *, with_children: bool = False) -> float:
    """Return the user and system CPU time of a process, optionally with that of its terminated children."""
    # The second field is the command in parentheses. It may contain spaces and parentheses.
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    utime, stime, cutime, cstime = (int(field) for field in fields[11:15])
    ticks = utime + stime + (cutime + cstime if with_children else 0)
    return ticks / TICKS


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process: its private memory, and its part of shared memory."""
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has no Pss")


@dataclass(frozen=True)
class MachineUse:
    """CPU seconds since the start of the machine: of all processes, of the benchmark's, and the capacity."""

    processes: float
    own: float
    capacity: float

    @classmethod
    def now(cls, own: Iterable[int]) -> Self:
        """Return the current values. `own` are the ids of the benchmark's processes; their children are included."""
        line = (PROC / "stat").read_text().splitlines()[0]
        user, nice, system, *rest = (int(field) for field in line.split()[1:9])
        used = sum(cpu_seconds(pid, with_children=True) for pid in own)
        return cls((user + nice + system) / TICKS, used, (user + nice + system + sum(rest)) / TICKS)

    def foreign_since(self, start: Self) -> float:
        """Return the share of the machine, 0 to 1, that other processes used since `start`."""
        foreign = (self.processes - start.processes) - (self.own - start.own)
        return max(0.0, foreign / max(self.capacity - start.capacity, 1 / TICKS))
