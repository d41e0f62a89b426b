"""Two hosts: network namespaces with a cable between them that can be cut."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from outcomes import assert_same
from several import in_ranks

import gankit

FLAGS = {
    "data": "shapes", "size": 8, "channels": 1, "limit": 50, "batch_size": 8, "arch": "mlp", "ngf": 2, "ndf": 2,
    "nz": 4, "steps": 200, "checkpoint_every": 20, "log_every": 4, "sample_every": 200, "samples": 4, "threads": 1,
    "rank_timeout": 5,
}  # fmt: skip
WORDS = ["train", "wgan-gp", *(f"--{name.replace('_', '-')}={value}" for name, value in FLAGS.items())]
PORT = "29517"


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts():
    """The names of two namespaces with a cable: its ends are called like them, and are 10.99.7.1 and 10.99.7.2."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("makes network namespaces, which takes root and the command ip")
    names = [f"gk{os.getpid()}{letter}" for letter in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", names[0], "netns", names[0], "type", "veth", "peer", "name", names[1], "netns", names[1])
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.99.7.{number}/24", "dev", name)
            for link in ("lo", name):
                ip("-n", name, "link", "set", link, "up")
    except subprocess.CalledProcessError as error:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode().strip()}")
    yield names
    for name in names:
        ip("netns", "del", name)


def launched(host, number, *words):
    """`torchrun` on one of the hosts, its port of rendezvous on the first."""
    launcher = ["--nnodes=2", f"--node-rank={number}", "--nproc-per-node=1", "--master-addr=10.99.7.1"]
    code = "from gankit.cli import main; main()"
    command = [
        "ip", "netns", "exec", host, sys.executable, "-m", "torch.distributed.run", *launcher, f"--master-port={PORT}",
        "--no-python", sys.executable, "-c", code, *map(str, words),
    ]  # fmt: skip
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": host, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def train_here(root):
    gankit.train("wgan-gp", out=root, quiet=True, **FLAGS)


@pytest.mark.slow
def test_a_cable_that_is_cut_ends_both_hosts_and_the_resumed_run_is_as_if_it_had_not_been(hosts, tmp_path):
    in_ranks(2, train_here, tmp_path / "whole")
    root = tmp_path / "run"
    running = [launched(host, number, *WORDS, "--out", root) for number, host in enumerate(hosts)]
    while not list((root / "checkpoints").glob("*.pt")):
        assert all(process.poll() is None for process in running)
        time.sleep(0.02)
    ip("-n", hosts[1], "link", "set", hosts[1], "down")
    cut = time.monotonic()
    said = [process.communicate(timeout=90)[1] for process in running]
    assert time.monotonic() - cut < 60
    assert re.search(r"Error: rank 0 of 2 on \S+: lost rank 1 on \S+ \(.*\) after step \d+; the last check", said[0])
    assert re.search(r"Error: rank 1 of 2 on \S+: lost 10.99.7.1, where the ranks meet .* after step \d+", said[1])
    ip("-n", hosts[1], "link", "set", hosts[1], "up")
    running = [launched(host, number, "resume", root) for number, host in enumerate(hosts)]
    for process in running:
        _, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
    assert_same(root, tmp_path / "whole")
