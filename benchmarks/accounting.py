"""What the operating system says that processes used: CPU from /proc/PID/stat, memory from smaps_rollup (proc(5))."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int, *, with_children: bool = False) -> float:
    """CPU time of a process, user and system; `with_children` adds that of the children it has waited for."""
    # The second field is the command in parentheses, which may hold blanks and parentheses itself.
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    utime, stime, cutime, cstime = (int(field) for field in fields[11:15])
    ticks = utime + stime + (cutime + cstime if with_children else 0)
    return ticks / TICKS


def pss_bytes(pid: int) -> int:
    """Proportional set size: memory of its own, and its share of what it shares."""
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has no Pss")


@dataclass(frozen=True)
class MachineUse:
    """CPU seconds since the machine's start: in all processes, in our own, and in all that could have been used."""

    processes: float
    own: float
    capacity: float

    @classmethod
    def now(cls, own: Iterable[int]) -> Self:
        """`own` are our processes' ids; children that they have waited for are ours too."""
        line = (PROC / "stat").read_text().splitlines()[0]
        user, nice, system, *rest = (int(field) for field in line.split()[1:9])
        used = sum(cpu_seconds(pid, with_children=True) for pid in own)
        return cls((user + nice + system) / TICKS, used, (user + nice + system + sum(rest)) / TICKS)

    def foreign_since(self, start: Self) -> float:
        """The share of the machine, 0 to 1, that other processes have used since `start`."""
        foreign = (self.processes - start.processes) - (self.own - start.own)
        return max(0.0, foreign / max(self.capacity - start.capacity, 1 / TICKS))
