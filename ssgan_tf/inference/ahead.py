"""Takes items from a slow source in a thread, so that those that are there can be processed."""

import collections
import threading
from collections.abc import Iterable
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Takes items while it is entered, and keeps a limited number of them waiting."""

    def __init__(self, source: Iterable[T], size: int) -> None:
        """
        Args:
            source: of the items; iterated in the thread.
            size: how many items may wait.
        """
        self._source, self._size = source, size
        self._items: collections.deque[T] = collections.deque()
        self._changed = threading.Condition()
        self._ended = self._left = False
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        # A daemon: one that waits for the next line of a list does not keep the process.
        threading.Thread(target=self._fill, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def take(self, most: int, wait: bool) -> list[T]:
        """Some of the items that are there, in order.

        Args:
            most: at most so many; if fewer are there, and more may come, a power of two of them, so
                that only a few different numbers come out.
            wait: for the first one.

        Returns:
            Nothing only at the end, or if there is nothing and `wait` is False.

        Raises:
            Exception: what the source raised, where all before it has been taken, with `wait`.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._items or self._ended)
                if not self._items and self._error is not None:
                    raise self._error
            there = len(self._items)
            whole = there >= most or self._ended
            count = min(there, most) if whole else 1 << there.bit_length() >> 1
            self._changed.notify_all()
            return [self._items.popleft() for _ in range(count)]

    def _fill(self) -> None:
        try:
            for item in self._source:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._items) < self._size or self._left)
                    if self._left:
                        return
                    self._items.append(item)
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error  # raised where the items are taken
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
