"""A recorder of CUDA graphs for machines without a GPU."""

from __future__ import annotations

import contextlib


class Rerun:
    """Stands for a CUDA graph where there is no GPU: a replay runs again and writes into the first run's outputs."""

    def capture(self, run):
        values, carry = run()

        def replay():
            again, carried = run()
            values.copy_(again)
            for name, tensor in carry.items():
                tensor.copy_(carried[name])

        return replay, (values, carry)

    def aside(self):
        return contextlib.nullcontext()
