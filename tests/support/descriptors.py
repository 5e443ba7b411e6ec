"""A process with more open files than `select` can look at."""

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

#: FD_SETSIZE of every libc on Linux.
SELECTABLE = 1024


@contextmanager
def beyond_select() -> Iterator[None]:
    """Let every descriptor that is opened meanwhile be 1024 or more; skip the test where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * SELECTABLE
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"a process may not have {wanted} open files here (ulimit -Hn)")
    with ExitStack() as stack:
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        last = -1
        while last < SELECTABLE:
            last = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, last)
        yield
