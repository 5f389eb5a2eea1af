"""What else the machine did during a run, from Linux's ``/proc/stat``.

The figures of a run that had to share the machine say little. Each run is kept with the
share that others had; see :data:`NOISY`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

#: Share of the machine, of others and stolen together, from which on a run is noisy.
#: A quiet machine shows up to 2 %: the kernel counts in ticks of 4 or 10 ms.
NOISY = 0.04

_STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The counters of the machine at one moment.

    Attributes:
        when_s: When, on the monotonic clock.
        busy_s: CPU seconds of all CPUs in which something ran here.
        stolen_s: CPU seconds that the hypervisor gave to other machines.
        cpus: CPUs of the machine.
        switches: Context switches.
        own_cpu_s: CPU seconds of this process.
    """

    when_s: float
    busy_s: float
    stolen_s: float
    cpus: int
    switches: int
    own_cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What was not the contender's, the server's or the benchmark's.

    Attributes:
        others_share: CPU time of other processes, of all CPUs.
        steal_share: CPU time that the hypervisor gave to other machines, of all CPUs.
        load: Load average of the last minute at the end of the run.
        switches_per_s: Context switches of the whole machine.
    """

    others_share: float
    steal_share: float
    load: float
    switches_per_s: float


def look() -> Look | None:
    """Read the counters; None where there is no ``/proc/stat``."""
    try:
        text = _STAT.read_text(encoding="ascii")
    except OSError:
        return None
    return parse(
        text,
        ticks_per_s=os.sysconf("SC_CLK_TCK"),
        when_s=time.monotonic(),
        own_cpu_s=time.process_time(),
    )


def parse(text: str, *, ticks_per_s: int, when_s: float, own_cpu_s: float) -> Look:
    """Return the counters in *text*, which is what ``/proc/stat`` holds.

    Args:
        text: Its lines.
        ticks_per_s: Its unit of time.
        when_s: When it was read.
        own_cpu_s: CPU seconds of this process by then.

    References:
        https://man7.org/linux/man-pages/man5/proc_stat.5.html
    """
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(word) / ticks_per_s for word in lines["cpu"][:8]
    )
    return Look(
        when_s=when_s,
        busy_s=user + nice + system + irq + softirq,
        stolen_s=steal,
        cpus=sum(name.startswith("cpu") for name in lines) - 1,
        switches=int(lines["ctxt"][0]),
        own_cpu_s=own_cpu_s,
    )


def between(
    before: Look | None, after: Look | None, *, known_s: float, load: float
) -> Noise | None:
    """Return the noise between two looks; None where it is not known.

    Args:
        before: The first.
        after: The second.
        known_s: CPU seconds of the contender, the server and what measures them; those
            of this process are added.
        load: Load average at the end.
    """
    if before is None or after is None:
        return None
    wall_s = after.when_s - before.when_s
    all_s = wall_s * after.cpus
    own_s = after.own_cpu_s - before.own_cpu_s
    others_s = after.busy_s - before.busy_s - known_s - own_s
    return Noise(
        others_share=max(0.0, others_s) / all_s,
        steal_share=(after.stolen_s - before.stolen_s) / all_s,
        load=load,
        switches_per_s=(after.switches - before.switches) / wall_s,
    )


def is_noisy(share: float | None) -> bool:
    """Return whether *share* of the machine is too much for others to have had."""
    return share is not None and share > NOISY
