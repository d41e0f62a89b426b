"""Work of several ranks at once: processes forked of one that has imported everything, which saves seconds each."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import types
from unittest import mock

import torch
import torch.distributed as dist

ENVIRONMENT = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE")


def in_ranks(count, work, *args, seconds=60):
    """What ``work(*args)`` returns on each of ``count`` ranks, where it can call ``ranks.joined``; an exception is
    raised here, that of the lowest rank first. One rank is a process like any other.
    """
    running = start_ranks(count, work, *args)
    results = [ended(one, seconds) for one in running]
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def start_ranks(count, work, *args):
    """(process, where its result comes) of each rank, not waited for."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gankit.training.loop", "gankit.plugins.variants.wgan_gp", "several"])
    # Where they meet is kept by the process that starts them, as torchrun does it.
    store, running = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False), []
    for rank in range(count):
        ours, theirs = context.Pipe(duplex=False)
        values = (str(rank), str(rank), str(count), "127.0.0.1", str(store.port), "True")
        environment = dict(zip(ENVIRONMENT, values, strict=True)) if count > 1 else {}
        environment |= {"OMP_NUM_THREADS": "1", "GANKIT_CACHE": os.environ["GANKIT_CACHE"]}
        process = context.Process(target=_run, args=(theirs, environment, inspect.getfile(work), work.__name__, args))
        with mock.patch.dict(sys.modules, {"__main__": types.ModuleType("__main__")}):  # else each imports pytest
            process.start()
        theirs.close()
        running.append((process, ours, store))
    return running


def ended(running, seconds=60):
    """The result of one of ``start_ranks``, or its exception; ChildProcessError for one that died."""
    process, ours, _ = running
    try:
        result = pickle.loads(ours.recv_bytes()) if ours.poll(seconds) else TimeoutError(f"no result in {seconds} s")
    except EOFError:
        process.join(seconds)
        result = ChildProcessError(f"ended with {process.exitcode}")
    if process.is_alive() and isinstance(result, TimeoutError):
        process.kill()
    process.join(seconds)
    return result


def _run(pipe, environment, file, name, args):
    os.environ.update(environment)
    # By its file: pytest imports test modules under names that another process does not find.
    spec = importlib.util.spec_from_file_location("work_of_ranks", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["work_of_ranks"] = module
    spec.loader.exec_module(module)
    work = getattr(module, name)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 0
    try:
        result = work(*args)
    except BaseException as error:
        traceback.print_exc()
        with contextlib.suppress(Exception):
            error.__traceback__ = None
        result, code = error, 1
    try:
        whole = pickle.dumps(result)  # bytes: tensors would be sent as files that end with this process
        pickle.loads(whole)
    except Exception:  # an error that cannot be pickled
        whole = pickle.dumps(RuntimeError(f"{type(result).__name__}: {result}"))
    pipe.send_bytes(whole)
    pipe.close()
    os._exit(code)
