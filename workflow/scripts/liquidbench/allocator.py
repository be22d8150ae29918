"""The C library's allocator, told to suit arrays that are made and dropped over and over."""

import ctypes


def keep_freed_memory() -> None:
    """Ask glibc's allocator to keep freed memory for the next arrays instead of giving it back.

    Arrays of a tenth of a megabyte and more are otherwise mapped anew each time, and the page faults cost up to half
    of the processor time of a training or a preparation. Elsewhere than on glibc this does nothing.
    """
    trim_threshold, mmap_max = -1, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
