"""The process that test_prepare.py kills: prepares the pictures of a folder with two workers, in small chunks."""

from __future__ import annotations

import sys
from pathlib import Path

from gankit.data import decode_pool as workers
from gankit.data import decode_worker as decoder
from gankit.data import sources
from gankit.data.decoding import Frame
from gankit.data.sources import Pictures, Tree

workers.FEW, decoder.CHUNK = 0, 8
workers.cores = lambda: 2
decode = sources.decode


def told(*args):
    print("decoding", file=sys.stderr, flush=True)
    return decode(*args)


sources.decode = told
tree = Tree(Path(sys.argv[1]))
names = tree.pictures()
prepared = Pictures(tree, "", names, list(range(len(names)))).prepared("killed", Frame(48, 3))
assert "torch" not in sys.modules
print(prepared.folder)
