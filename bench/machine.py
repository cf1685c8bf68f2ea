"""
On what a run was made: figures mean nothing without it.

It may read ``/proc``. It never names the machine or its user.
"""

import os
import platform
import ssl
from datetime import UTC, datetime
from pathlib import Path


def machine() -> dict[str, object]:
    """Return the facts that decide about figures, and how busy the machine was with others."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "system": f"{platform.system()} {platform.machine()}",
    }


def as_sentence(facts: dict[str, object]) -> str:
    """Return the facts as one line of a document."""
    return (
        f"{facts['date']}, {facts['cpu']}, {facts['cores']} cores, {facts['system']}, Python {facts['python']}, "
        f"{facts['openssl']}, load {facts['load']} when the run began."
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
