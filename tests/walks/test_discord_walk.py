"""Photo to answer, and correction to better model, through Discord; nothing replaced but Discord itself."""

from pathlib import Path
from typing import Literal

import pytest

from tests.fakes.discord_api import DiscordApi, Message, Permission
from tests.walks.conftest import NewHouse
from tests.walks.house import House, taught_shirts, unseen_shirts, wait_for
from tests.walks.story import answered, walk

pytestmark = pytest.mark.real


class Group:
    """A `Room` on Discord: Anna corrects first with a button, then in a photo's own menu, from then on by replies."""

    def __init__(self, api: DiscordApi) -> None:
        self.api = api
        self.guild = api.guild("Shirts")
        self.channel = self.guild.text_channel("photos")
        # Both may manage the guild, so that Discord offers them all commands; which of them is an admin, we know.
        keepers = self.guild.role("keepers", Permission.MANAGE_GUILD)
        self.anna = self.guild.join(api.user("Anna"), roles=[keepers])
        self.max = self.guild.join(api.user("Max"), roles=[keepers])
        self.corrected: list[Message] = []

    def send(self, *photos: bytes) -> Message:
        files = [(f"shirt-{n}.jpg", data, "image/jpeg") for n, data in enumerate(photos)]
        return self.max.send(self.channel, attachments=files)

    def answers(self, photo: Message) -> list[Message]:
        return [one for one in self.channel.from_bot if one.reply_to is photo]

    def answer(self, photo: Message) -> str:
        return "".join(map(_shown, self.answers(photo)[:1]))

    def correct(self, photo: Message, label: str) -> None:
        nth = len(self.corrected)
        self.corrected.append(photo)
        answer = self.answers(photo)[0]
        if nth == 0:
            self._press(answer, label)
        elif nth == 1:
            form = self.anna.context(photo, "Correct this photo").wait_answered().modal
            assert form is not None
            thanks = self.anna.submit(form, {"Label": label}).wait_answered().response
            assert thanks is not None
            assert (thanks.text, thanks.visible_to) == ("Thank you, I'll take a look.", self.anna)
        else:
            # Every other one answers the photo itself.
            self.anna.send(self.channel, label.lower(), reply_to=photo if nth % 2 else answer)

    def ask(self, who: Literal["Anna", "Max"], command: str) -> None:
        asked = (self.anna if who == "Anna" else self.max).slash(self.channel, command).wait_answered()
        assert asked.response is self.channel.from_bot[-1], "a command is answered where it was used"

    def said(self) -> list[str]:
        return [_shown(message) for message in self.channel.from_bot]

    def _press(self, answer: Message, label: str) -> None:
        """Press a label below an answer, after "Something else…" where it is not among the first three."""

        def right() -> list[str]:
            return [button.label for button in answer.buttons if button.label.removeprefix("✓ ") == label]

        if not right():
            self.anna.press(answer, "Something else…").wait_answered()
            wait_for(right, "the list of all labels")
        self.anna.press(answer, right()[0]).wait_answered()


def _shown(message: Message) -> str:
    """The words as people see them: without markdown's stars and strokes."""
    return message.content.replace("*", "").replace("\\", "")


def test_a_walk_with_an_album_and_a_stop(new_house: NewHouse, tmp_path: Path) -> None:
    with DiscordApi() as api:
        group = Group(api)
        house = new_house(
            discord_token=api.token, discord_api_url=f"{api.url}/api/v10", admins=f"discord:{group.anna.id}"
        )
        house.run("import", str(taught_shirts(tmp_path / "taught")))
        house.run("train")
        house.up()
        wait_for(lambda: api.is_connected and len(api.commands) > 1, "a connection and the commands")

        photos = unseen_shirts(3)
        walk(house, group, photos[:16])
        _an_album(group, photos[16:19])
        _a_stop(house, group, photos[19:23])

        assert len(group.corrected) >= 3, "a button, a menu and a reply"
        assert all(group.answers(photo)[0].versions for photo in group.corrected), "receipts are edits"
        assert [asked.followups for asked in api.interactions if asked.followups] == []
        sent = [message for message in group.channel.messages if message.author is group.max]
        assert [len(group.answers(photo)) for photo in sent] == [1] * len(sent)
        ours = group.channel.from_bot
        assert [one for one in ours if one.pings or one.mentions.users or one.mentions.everyone] == []
        assert house.stop() == [0]


def _an_album(group: Group, photos: list[tuple[str, bytes]]) -> None:
    """Photos in one message are answered together."""
    album = group.send(*(data for _, data in photos))

    assert answered(group, album, "an album").startswith(f"{len(photos)} photos")


def _a_stop(house: House, group: Group, photos: list[tuple[str, bytes]]) -> None:
    """What is sent while the bot is down is answered once it is up, and so is the last photo, which follows."""
    messages = len(group.said())
    assert house.stop() == [0]
    assert "Traceback" not in house.logs()

    missed = [group.send(data) for _, data in photos[:-1]]
    house.up()
    for photo in missed:
        answered(group, photo, "a photo that was sent during the stop")
    answered(group, group.send(photos[-1][1]), "a photo after the stop")

    assert len(group.said()) == messages + len(photos)
    assert "Traceback" not in house.logs()
