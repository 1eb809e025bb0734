"""Tablets of this machine, through evdev."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from inkstream._exceptions import InputError
from inkstream.tablet import _codes
from inkstream.tablet._decoder import Axis, Decoder, Layout, PenEvent

if TYPE_CHECKING:
    from types import ModuleType

    from evdev import AbsInfo, InputDevice


class NoTablet(InputError, LookupError):
    """The tablet does not exist, cannot be read or is gone; the message lists those that can be read."""


class Tablet:
    """A tablet of this machine, read live. Iterating blocks until the pen does something.

    Attributes:
        path: its device file.
        name: what its driver calls it.
        layout: what it reports.
    """

    def __init__(self, path: str | None = None) -> None:
        """Open it.

        Args:
            path: its device file; None for the first tablet found.

        Raises:
            NoTablet: there is none, or this user may not read it.
            ModuleNotFoundError: evdev is not installed; `pip install inkstream[tablet]`.
        """
        evdev = _evdev()
        if path is None:
            path = next(iter(tablets()), None)
        try:
            if path is None:
                raise FileNotFoundError("no device file of a tablet can be read")
            self._device: InputDevice[str] = evdev.InputDevice(path)
        except OSError as error:
            raise NoTablet(f"{path or 'tablet'}: {error.strerror or error}; {_advice()}") from None
        layout = _layout(self._device)
        if layout is None:
            self._device.close()
            raise NoTablet(f"{path}: {self._device.name} is no tablet; {_advice()}")
        self.path, self.name, self.layout = path, self._device.name, layout
        self._decoder = Decoder(layout)

    def __iter__(self) -> Iterator[PenEvent]:
        """Yield what the pen does, as it happens; never ends.

        Raises:
            NoTablet: it was unplugged, or can no longer be read.
        """
        try:
            for event in self._device.read_loop():
                seconds = event.timestamp()
                yield from self._decoder.feed(seconds, event.type, event.code, event.value)
                if self._decoder.is_stale:
                    now = _layout(self._device) or self.layout
                    pressure = now.pressure.value if now.pressure else 0
                    self._decoder.resync(now.x.value, now.y.value, pressure, now.keys)
        except OSError as error:
            raise NoTablet(
                f"{self.path}: {self.name} can no longer be read ({error.strerror or error}); "
                f"if it was unplugged, plug it in and open it again; {_advice()}"
            ) from error

    def close(self) -> None:
        """Close the device."""
        self._device.close()

    def __enter__(self) -> Tablet:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the device."""
        self.close()


def tablets() -> dict[str, str]:
    """Find the tablets that this user may read.

    Returns: their names, by device file.

    Raises:
        ModuleNotFoundError: evdev is not installed; `pip install inkstream[tablet]`.
    """
    evdev = _evdev()
    found = {}
    for path in sorted(evdev.list_devices(writable=False)):
        try:
            device: InputDevice[str] = evdev.InputDevice(path)
        except OSError:
            # It was unplugged meanwhile.
            continue
        if _layout(device):
            found[path] = device.name
        device.close()
    return found


def _advice() -> str:
    found = [f"{path} ({name})" for path, name in tablets().items()]
    if found:
        return f"there is {', '.join(found)}"
    return "no tablet can be read here: is one connected, and are you in the group `input`?"


def _layout(device: InputDevice[str]) -> Layout | None:
    """The layout and present state of a device, None if no pen can write on it."""
    abilities = device.capabilities(absinfo=True)
    # With `absinfo` this entry holds pairs, which the library's return type does not say.
    axes: dict[int, AbsInfo] = dict(abilities.get(_codes.EV_ABS, []))  # type: ignore[arg-type]
    keys = set(abilities.get(_codes.EV_KEY, []))
    if not {_codes.ABS_X, _codes.ABS_Y} <= set(axes) or not keys & {
        _codes.BTN_TOOL_PEN,
        _codes.BTN_TOOL_RUBBER,
    }:
        return None
    return Layout(
        _axis(axes[_codes.ABS_X]),
        _axis(axes[_codes.ABS_Y]),
        _axis(axes[_codes.ABS_PRESSURE]) if _codes.ABS_PRESSURE in axes else None,
        keys=frozenset(device.active_keys()),
    )


def _axis(info: AbsInfo) -> Axis:
    return Axis(info.min, info.max, info.resolution, info.value)


def _evdev() -> ModuleType:
    try:
        import evdev
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "tablets need evdev: pip install 'inkstream[tablet]'", name=error.name
        ) from None
    return evdev
