"""The review, for admins: what to look at first, and a press that keeps, relabels or removes."""

from bot.conversation import Known, Press

COMMANDS: tuple[Known, ...] = ()
PRESSES: dict[str, Press] = {}
