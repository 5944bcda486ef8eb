"""The journal beside the other engines and nothing else: the table, in half the time of `make bench`."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.engines.comparing import compare
from tests.benchmarks.engines.showing import table


def main() -> int:
    print(f"load before the run {os.getloadavg()[0]:.1f}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="remediator-bench-") as folder:
        compared = asyncio.run(compare(Path(folder), lambda text: print(text, file=sys.stderr, flush=True)))
    print(table(compared))
    return 1 if compared.failed else 0


if __name__ == "__main__":
    sys.exit(main())
