"""The commands of the service's page, as they stand there."""

import re
from typing import Final

from support.packaged import REPOSITORY

PAGE: Final = REPOSITORY / "systemd" / "README.md"
_BLOCK: Final = re.compile(r"^ *<!-- (\w+) -->\n *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def commands(name: str) -> list[str]:
    """Give the commands of the block that is marked ``<!-- name -->``."""
    blocks = dict(_BLOCK.findall(PAGE.read_text()))
    return [line.strip().removeprefix("$ ") for line in blocks[name].splitlines()]
