import os
import threading
import time

import pytest

from recsys.threads import in_parts


@pytest.mark.parametrize("size", [0, 1, 3, 50])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_parts_are_in_order_and_make_up_the_whole(size: int, threads: int) -> None:
    parts = list(in_parts(lambda first, last: (first, last), size, threads))
    assert [number for first, last in parts for number in range(first, last)] == list(range(size))


def test_several_threads_work_and_errors_come_through() -> None:
    names = set()

    def work(first: int, last: int) -> None:
        names.add(threading.current_thread().name)
        time.sleep(0.01)

    list(in_parts(work, 16, 2))
    assert len(names) == 2

    with pytest.raises(ZeroDivisionError):
        list(in_parts(lambda first, last: 1 // first, 4, 2))


def test_a_forked_process_has_threads_of_its_own() -> None:
    list(in_parts(lambda first, last: first, 8, 2))
    child = os.fork()
    if not child:
        os._exit(0 if list(in_parts(lambda first, last: last - first, 8, 2)) == [1] * 8 else 1)
    assert os.waitpid(child, 0)[1] == 0
