"""`BusyMeter`: only a busy process makes arrivals wait."""

from dataclasses import dataclass

from inkstream_server.batching.linger import SAMPLE_SECONDS, BusyMeter


@dataclass
class _Clocks:
    now: float = 100.0
    cpu: float = 5.0

    def busy_meter(self) -> BusyMeter:
        return BusyMeter(lambda: self.now, lambda: self.cpu)

    def run(self, busy_meter: BusyMeter, *, gap: float, busy: float, arrivals: int) -> list[bool]:
        """Let arrivals come with a gap between them; the processor works for a share of each gap."""
        reported = []
        for _ in range(arrivals):
            self.now += gap
            self.cpu += gap * busy
            reported.append(busy_meter.is_busy())
        return reported


def test_an_idle_process_does_not_linger() -> None:
    clocks = _Clocks()
    assert not any(clocks.run(clocks.busy_meter(), gap=0.0005, busy=0.3, arrivals=500))


def test_a_busy_process_lingers_after_its_first_sample() -> None:
    clocks = _Clocks()
    busy_meter = clocks.busy_meter()
    first = clocks.run(
        busy_meter, gap=0.0001, busy=1.0, arrivals=round(SAMPLE_SECONDS / 0.0001) - 1
    )
    assert not any(first)
    assert all(clocks.run(busy_meter, gap=0.0001, busy=1.0, arrivals=500)[2:])


def test_lingering_ends_when_the_process_becomes_idle() -> None:
    clocks = _Clocks()
    busy_meter = clocks.busy_meter()
    clocks.run(busy_meter, gap=0.0001, busy=1.0, arrivals=500)
    assert not clocks.run(busy_meter, gap=0.0005, busy=0.2, arrivals=100)[-1]
