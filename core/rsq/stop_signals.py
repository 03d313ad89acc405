"""SIGTERM and Ctrl-C as an event."""

from __future__ import annotations

import queue
import signal
import threading


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set from now on. To be called in the main thread.

    A handler runs in the main thread between any two of its steps: setting an event there hangs for
    ever when that thread was just about to wait for it and holds its lock. So the handler does
    nothing but put into a queue that is made for that, and a thread sets the event.
    """
    stop = threading.Event()
    arrived: queue.SimpleQueue[int] = queue.SimpleQueue()

    def pass_on() -> None:
        arrived.get()
        stop.set()

    threading.Thread(target=pass_on, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda given, _: arrived.put(given))
    return stop
