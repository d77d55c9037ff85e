import os
import threading
import time

import pytest

from recsys.threads import Work, in_parts, together


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


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_several_works_are_each_done_once(threads: int) -> None:
    done: dict[str, list[int]] = {"few": [], "many": [], "none": []}
    parts = dict.fromkeys(done, 0)

    def doing(name: str, size: int, least: int) -> Work:
        def do(first: int, last: int) -> None:
            done[name].extend(range(first, last))
            parts[name] += 1

        return Work(do, size, least)

    together([doing("few", 10, 4), doing("many", 100, 1), doing("none", 0, 3)], threads)
    assert sorted(done["few"]) == list(range(10))
    assert sorted(done["many"]) == list(range(100))
    assert done["none"] == []
    assert parts["few"] == (1 if threads == 1 else 2)
    with pytest.raises(ZeroDivisionError):
        together([doing("many", 3, 1), Work(lambda first, last: 1 // (first - first), 8)], threads)
