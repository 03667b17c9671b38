"""Labels by command, for admins: rename, merge, archive and aliases."""

from bot.conversation import Known, Press

COMMANDS: tuple[Known, ...] = ()
PRESSES: dict[str, Press] = {}
