"""Is no photo lost and each answered once, whatever dies in between? Counted, fault by fault.

    python benchmarks/chaos.py [--rounds 20] [--photos 300] [--seed 0] [--json FILE]

Everything is real but the chat networks, for which the stand-ins of the tests speak over real sockets: a Redis, a
PostgreSQL, two workers, a trainer with the schedule, a bot for Telegram and one for Discord, each a process that a
supervisor starts again as `snaplabel up` does. Each round has a house of its own. Its photos are sent in as many parts
as there are faults, in random order, and a fault strikes at a random moment of its part; what is going on then is
disturbed too, and every photo is counted with the fault in whose part it was sent. A quarter of the photos is
corrected by an admin, by a reply to the answer or, before there is one, to the photo.

A round is over when everybody has what they wait for, or after --quiet seconds. Then every photo must have exactly one
visible answer that says what it shows ("lost": it has none, or reads that something went wrong), every correction must
be in the database, and the published model must load and judge a photo. The exit code is 1 when one of these broke.
"""

import argparse
import logging
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

import common  # noqa: E402

from benchmarks.chaos_faults import FAULTS, Scene  # noqa: E402
from benchmarks.chaos_house import ChaosHouse  # noqa: E402
from benchmarks.chaos_people import COUNTS, Crowd  # noqa: E402
from tests.fakes.discord_api import DiscordApi  # noqa: E402
from tests.fakes.telegram_api import TelegramApi  # noqa: E402

PHOTOS_A_FAULT = 4
PART_S = 2.5
Counts = dict[str, dict[str, int]]


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--rounds", type=int, default=20)
    asked.add_argument("--photos", type=int, default=300, help="photos a round")
    asked.add_argument("--seed", type=int, default=0, help="of the first round; each has the next one")
    asked.add_argument("--quiet", type=float, default=150, help="seconds in which a round must come to rest")
    asked.add_argument("--faults", help="only these, by name, separated by semicolons")
    asked.add_argument("--keep", type=Path, metavar="DIR", help="put the logs of rounds that broke a promise there")
    asked.add_argument("--json", type=Path, metavar="FILE")
    args = asked.parse_args()
    # Told to end it ends the house too; PostgreSQL under another user would outlive us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("snaplabel.supervise").setLevel(logging.ERROR)  # That things die is the point.
    names = [name.strip() for name in args.faults.split(";")] if args.faults else list(FAULTS)
    if unknown := set(names) - set(FAULTS):
        asked.error(f"there is no fault {', '.join(unknown)}; there are: {'; '.join(FAULTS)}")
    found: dict[str, Counter[str]] = {name: Counter(dict.fromkeys(COUNTS, 0)) for name in names}
    troubles: list[str] = []
    for seed in range(args.seed, args.seed + args.rounds):
        began = time.monotonic()
        counts, broken = play(seed, args.photos, names, args.quiet, args.keep)
        for name, figures in counts.items():
            found[name].update(figures)
        troubles += [f"seed {seed}: {trouble}" for trouble in broken]
        print(f"seed {seed}: {summary(counts)}, {time.monotonic() - began:.0f} s {'; '.join(broken)}", flush=True)
    faults = {name: dict(figures) for name, figures in found.items() if figures["sent"]}
    total = {each: sum(figures[each] for figures in faults.values()) for each in COUNTS}
    print(common.table(("fault", *COUNTS), [(name, *map(figures.get, COUNTS)) for name, figures in faults.items()]))
    print(common.table(("total", *COUNTS), [("", *map(total.get, COUNTS))]))
    common.write(args.json, {"total": total, "faults": faults, "rounds": args.rounds, "broken": troubles})
    return 1 if troubles else 0


def play(seed: int, photos: int, names: list[str], quiet_s: float, keep: Path | None) -> tuple[Counts, list[str]]:
    """One round: what was counted, fault by fault, and which promises broke, in sentences."""
    rng = random.Random(seed)
    order = rng.sample(names, min(len(names), max(1, photos // PHOTOS_A_FAULT)))
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, TelegramApi() as telegram, DiscordApi() as discord:
        crowd = Crowd(telegram, discord, seed)
        house = ChaosHouse(
            Path(folder),
            telegram_token=telegram.token,
            telegram_api_url=telegram.url,
            discord_token=discord.token,
            discord_api_url=f"{discord.url}/api/v10",
            admins=crowd.admins,
        )
        try:
            house.start()
            telegram.wait_for(lambda: telegram.calls_of("getUpdates") and discord.is_connected, 60)
            with crowd:
                scene = Scene(house, crowd, rng, threading.Event())
                for part, name in enumerate(order):
                    share = photos * (part + 1) // len(order) - photos * part // len(order)
                    _act(scene, name, share)
                _rest(crowd, quiet_s)
            counts = crowd.count(house.database, order)
            broken = promises(crowd, house, counts)
            if broken and keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                story = (*crowd.troubles(), house.books(), house.logs(), telegram.story())
                (keep / f"{seed}.log").write_text("\n".join(story))
        finally:
            house.stop()
    return counts, broken


def _act(scene: Scene, name: str, photos: int) -> None:
    """Send a part's photos at random moments, with its fault at one of them."""
    moments = sorted(scene.rng.uniform(0, PART_S) for _ in range(photos))
    strikes_at = scene.rng.uniform(0, PART_S)
    fault = threading.Timer(strikes_at, FAULTS[name], (scene,))
    fault.start()
    began = time.monotonic()
    for moment in moments:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        scene.crowd.send(name)
    fault.join()


def _rest(crowd: Crowd, quiet_s: float) -> None:
    """Wait until nobody waits any more; then a little for what may come too much."""
    crowd.telegram.heal()
    crowd.discord.heal()
    deadline = time.monotonic() + quiet_s
    while not crowd.is_quiet() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(2)


def promises(crowd: Crowd, house: ChaosHouse, counts: Counts) -> list[str]:
    """Which promises broke, in sentences."""
    total = {each: sum(figures[each] for figures in counts.values()) for each in COUNTS}
    bad = ("lost", "doubled", "corrections_lost")
    found = [f"{total[each]} {each.replace('_', ' ')}" for each in bad if total[each]]
    if strays := crowd.strays():
        found.append(f"{strays} messages that answer no photo")
    if silent := sum(photo.is_corrected and not photo.is_confirmed for photo in crowd.photos):
        found.append(f"{silent} corrections never confirmed")
    try:
        house.whole_model()
    except Exception as error:
        found.append(f"the published model does not load ({error})")
    return found


def summary(counts: Counts) -> str:
    return ", ".join(f"{sum(figures[each] for figures in counts.values())} {each}" for each in COUNTS)


if __name__ == "__main__":
    sys.exit(main())
