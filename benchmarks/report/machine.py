"""Names the machine that figures were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def processor() -> str:
    """Return the model name of the processor, or its architecture where the system names no model."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def facts() -> dict[str, object]:
    """Return what figures depend on, by name."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "load_average": round(os.getloadavg()[0], 1),
    }


def line() -> str:
    """Return the facts as one line of text."""
    return ", ".join(f"{name} {value}" for name, value in facts().items())
