"""What the chaos bench does to the house and to the chat networks: each strikes once and returns when it is over."""

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.chaos_house import BOTS, VISIBLE_S, WORKERS, ChaosHouse, wipe
from benchmarks.chaos_people import Crowd

CALM = "none"
POSTS, EDITS = "/channels/*/messages", "/channels/*/messages/*"


@dataclass(frozen=True)
class Scene:
    """What a fault may touch. stop: set when the round is given up."""

    house: ChaosHouse
    crowd: Crowd
    rng: random.Random
    stop: threading.Event

    def some(self, least: int = 2, most: int = 6) -> int:
        return self.rng.randint(least, most)


def _kill(*names: str) -> Callable[[Scene], None]:
    """kill -9 one of these, at once or a moment after it came back."""

    def strike(scene: Scene) -> None:
        name = scene.rng.choice(names)
        scene.house.kill(name)
        if scene.rng.random() < 0.3:
            scene.stop.wait(scene.rng.uniform(0.5, 3))
            scene.house.kill(name)

    return strike


def _stop(*names: str) -> Callable[[Scene], None]:
    """SIGSTOP one of these for longer than Redis waits before it hands a task out again."""

    def strike(scene: Scene) -> None:
        pid = scene.house.pid(scene.rng.choice(names))
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)
        scene.stop.wait(VISIBLE_S * scene.rng.uniform(1.2, 1.6))
        os.kill(pid, signal.SIGCONT)

    return strike


def _redis_wiped(scene: Scene) -> None:
    wipe(scene.house.redis_folder)
    scene.house.kill("redis")


def _killed_between_send_and_record(scene: Scene) -> None:
    """The bot dies when the network has taken its message and the database does not know of it yet."""
    telegram = scene.crowd.telegram
    if scene.rng.random() < 0.7:
        before = len(telegram.calls_of("sendMessage"))
        telegram.hang_next("sendMessage", accepted=True)
        _until(scene, lambda: len(telegram.calls_of("sendMessage")) > before)
        scene.stop.wait(0.1)  # It is noted first, and then it is done.
        scene.house.kill("bot-telegram")
    else:
        discord = scene.crowd.discord
        before = len(discord.calls_to("POST", POSTS))
        discord.cut_after_accept("POST", POSTS)
        _until(scene, lambda: len(discord.calls_to("POST", POSTS)) > before)
        scene.house.kill("bot-discord")


def _until(scene: Scene, look: Callable[[], bool], timeout_s: float = 10.0) -> None:
    for _ in range(int(timeout_s / 0.01)):
        if look() or scene.stop.wait(0.01):
            return


def _errors(scene: Scene) -> None:
    """Both networks answer 500 to whatever is asked."""
    telegram, discord = scene.crowd.telegram, scene.crowd.discord
    for method in ("getUpdates", "sendMessage", "editMessageText", "getFile", "download"):
        telegram.fail_next(method, scene.rng.choice((500, 502)), times=scene.some())
    discord.fail_next("*", "/channels/**", 500, times=scene.some(3, 9))


def _floods(scene: Scene) -> None:
    """Both networks ask for patience."""
    telegram, discord = scene.crowd.telegram, scene.crowd.discord
    for method in ("sendMessage", "editMessageText", "getFile"):
        telegram.fail_next(method, 429, retry_after=scene.some(1, 3), times=scene.some())
    for scope in ("user", "shared", "global"):
        discord.fail_next("*", "/channels/**", 429, scope=scope, retry_after_s=scene.rng.uniform(0.2, 2))


def _silence(scene: Scene) -> None:
    """Calls are never answered: some were heard all the same."""
    telegram, discord = scene.crowd.telegram, scene.crowd.discord
    for method in ("sendMessage", "editMessageText"):
        telegram.hang_next(method, accepted=scene.rng.random() < 0.5)
    discord.never_answer("POST", POSTS)
    discord.drop_gateway(resumable=scene.rng.random() < 0.5)


def _cuts(scene: Scene) -> None:
    """Connections end before or after what was asked is done."""
    telegram, discord = scene.crowd.telegram, scene.crowd.discord
    for method in ("sendMessage", "editMessageText", "getUpdates"):
        telegram.cut_after_accept(method, times=scene.some(1, 3))
        telegram.cut_before_accept(method)
    discord.cut_after_accept("POST", POSTS, times=scene.some(1, 3))
    discord.cut_before_accept("PATCH", EDITS)
    discord.drop_gateway(resumable=scene.rng.random() < 0.5)


FAULTS: dict[str, Callable[[Scene], None]] = {
    CALM: lambda scene: None,
    "bot killed": _kill(*BOTS),
    "bot killed in a send": _killed_between_send_and_record,
    "bot stopped": _stop(*BOTS),
    "worker killed": _kill(*WORKERS),
    "worker stopped": _stop(*WORKERS),
    "trainer killed": _kill("trainer"),
    "trainer stopped": _stop("trainer"),
    "redis killed": _kill("redis"),
    "redis killed, wiped": _redis_wiped,
    "redis stopped": _stop("redis"),
    "postgres killed": _kill("postgres"),
    "chat says 500": _errors,
    "chat says 429": _floods,
    "chat times out": _silence,
    "chat hangs up": _cuts,
}
