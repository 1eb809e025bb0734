from __future__ import annotations

from benchmarks.cases import cases
from benchmarks.load.figures import CPU, INKSTREAM, PERCENTILES, RATE, RAW, Rows

ROUNDS: Rows = {
    RAW: [{RATE: 100.0, CPU: 10.0}, {RATE: 50.0, CPU: 20.0}, {RATE: 200.0, CPU: 5.0}],
    INKSTREAM: [{RATE: 110.0, CPU: 9.0}, {RATE: 60.0, CPU: 16.0}, {RATE: 190.0, CPU: 6.0}],
}
LATENCIES: Rows = {INKSTREAM: [dict.fromkeys(PERCENTILES, 7.0)]}
RESULTS = {cases.ONE_STREAM: ROUNDS, cases.POISSON: LATENCIES}
