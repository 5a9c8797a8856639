"""Damaged replays through the reader: each must end in a verdict, and none may kill its process.

    python -m melee_pipeline_tests.replays.fuzz --count 20000 [--replays FOLDER] [--workers 1]

Replays (real ones of a folder, and written ones of every version) are cut, spliced, and have
bytes flipped, most of them where it hurts: in the header, the sizes, the event codes. A run is
decided by its seed. It prints how many ended in which verdict, and fails if a process died, hung
or raised anything at all.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from melee_pipeline.parallel import WorkerLostError, executor, map_ordered
from melee_pipeline.replays.filters import Filters
from melee_pipeline.replays.game import Player, roll_back
from melee_pipeline.replays.verdict import Job, parse_one
from melee_pipeline.replays.write import to_bytes
from melee_pipeline.sources.extract import folder_replays
from melee_pipeline.sources.unpack import ReplayFile
from melee_pipeline_tests.replays.games import FALCO, small_game

VERSIONS = [(0, 1, 0), (1, 7, 1), (2, 0, 1), (2, 2, 0), (3, 0, 0), (3, 6, 0), (3, 9, 0), (3, 17, 0)]
# Everything may come in, so that what can be read is read to the end.
OPEN = Filters(
    cpus=True, doubles=True, ice_climbers=True, items=True, stages=frozenset(), min_frames=2
)
_CODES = bytes([0x10, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3F, 0x40, 0x41])


def written(frames: int = 150) -> list[bytes]:
    """Small replays of every kind of layout, as bytes."""
    games = [small_game(frames, seed=i, version=version) for i, version in enumerate(VERSIONS)]
    games.append(roll_back(small_game(frames, seed=90), 0, 5))
    games.append(small_game(frames, seed=91, players=(Player(1, 14), Player(2, FALCO))))
    return [to_bytes(game) for game in games]


def mutate(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One replay, damaged in one to four ways."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 4)):
        if not data:
            break
        # Half of the damage goes to the header, where each byte decides what the others mean.
        reach = min(len(data), 900) if rng.random() < 0.5 else len(data)
        at = rng.randrange(reach)
        match rng.randrange(7):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                data[at] = rng.choice(_CODES)
            case 3:
                del data[at:]
            case 4:
                del data[at : at + rng.randint(1, 200)]
            case 5:
                other = rng.choice(seeds)
                start = rng.randrange(len(other))
                data[at:at] = other[start : start + rng.randint(1, 2000)]
            case 6:
                data[at : at + 4] = rng.randbytes(4)
    return bytes(data)


def verdict_of(job: tuple[int, int, tuple[bytes, ...], Path]) -> tuple[str, str]:
    """What becomes of mutation `number`: its verdict or reason, and the detail."""
    seed, number, seeds, folder = job
    data = mutate(random.Random(f"{seed} {number}"), seeds)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "mutated.slp"
        path.write_bytes(data)
        row, _ = parse_one(Job(ReplayFile(path, path.name), Path(name), OPEN, "fuzz", 0))
    assert row is not None  # there is no index that could know it
    return row.reason or row.verdict, row.detail or ""


def jobs(
    count: int, seed: int, seeds: Sequence[bytes], folder: Path
) -> Iterator[tuple[int, int, tuple[bytes, ...], Path]]:
    """Each takes a few seeds along, so that they need not all be sent every time."""
    for number in range(count):
        chosen = random.Random(f"seeds {seed} {number}").choices(seeds, k=2)
        yield seed, number, tuple(chosen), folder


def main() -> None:
    """Mutate, read, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--replays", type=Path, help="a folder of real replays to damage as well")
    parser.add_argument("--largest", type=int, default=400_000, help="bytes of a replay to damage")
    options = parser.parse_args()
    seeds = written()
    if options.replays:
        found = [file.path for file in folder_replays(options.replays)]
        sizes = ((path, path.stat().st_size) for path in found)
        seeds += [path.read_bytes() for path, size in sizes if 0 < size <= options.largest]
    counts: Counter[str] = Counter()
    failed = []

    def lost(
        job: tuple[int, int, tuple[bytes, ...], Path], error: WorkerLostError
    ) -> tuple[str, str]:
        failed.append((job[1], str(error)))
        return "process lost", str(error)

    with tempfile.TemporaryDirectory() as name, executor(options.workers, limit=60) as pool:
        every = jobs(options.count, options.seed, seeds, Path(name))
        for number, (verdict, _) in enumerate(map_ordered(pool, verdict_of, every, 8, lost), 1):
            counts[verdict] += 1
            if number % 1000 == 0:
                print(f"{number} {dict(counts.most_common())}", file=sys.stderr)
    print(f"{options.count} mutations of {len(seeds)} replays, seed {options.seed}")
    for verdict, count in counts.most_common():
        print(f"{count:8}  {verdict}")
    for number, why in failed:
        print(f"mutation {number}: {why}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
