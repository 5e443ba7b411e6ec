"""Takes of a session: directories with a stem for each speaker, which come in any order, change, and move; and what becomes of them."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from chaos.arrivals import STEM, WRITERS
from chaos.checks import says_words
from chaos.world import SPEAKERS, TAKES, Source, Take, World

_KINDS: Final = ("txt", "srt")


@dataclass(frozen=True)
class Deed:
    """What a person or a recorder does to a take, at an instant."""

    at: float
    name: str
    #: What is done with a stem: the speaker, the way it comes, the seed of its words, and seconds between two steps.
    speaker: str = ""
    way: str = ""
    seed: int = 0
    step: float = 0.0


@dataclass(frozen=True)
class TakePlan:
    """What happens to one take."""

    name: str
    deeds: tuple[Deed, ...]


def drawn_takes(prefix: int, span: float) -> tuple[TakePlan, ...]:
    """Draw some takes: their stems come in any order, and may be exported again, renamed with their directory, and removed."""
    chance = random.Random(f"takes {prefix}")
    return tuple(_drawn(f"Take {prefix}-{number}", chance, span) for number in range(chance.randrange(1, 4)))


def _drawn(name: str, chance: random.Random, span: float) -> TakePlan:
    speakers = chance.sample(SPEAKERS, chance.choice((1, 2, 2, 3, 3, 4)))

    def deed(what: str, *, since: float = -0.2, speaker: str = "") -> Deed:
        return Deed(
            chance.uniform(since, 1.2) * span,
            what,
            speaker,
            chance.choice(sorted(WRITERS)),
            chance.randrange(1 << 31),
            chance.uniform(0.01, 0.2),
        )

    deeds = [deed("arrives", speaker=speaker) for speaker in speakers]
    deeds += [deed("exported again", since=0.1, speaker=speaker) for speaker in speakers if chance.random() < 0.3]
    for what, share in (("renamed", 0.4), ("removed", 0.25), ("taken out", 0.15), ("planted", 0.2)):
        if chance.random() < share:
            deeds.append(deed(what, since=0.1, speaker=chance.choice(speakers)))
    return TakePlan(name, tuple(deeds))


def happenings(world: World, plan: TakePlan) -> Iterator[tuple[float, Callable[[], None]]]:
    """Yield what happens to a take: when, and a callable that does it."""
    take = Take(world.folders[TAKES] / plan.name)
    world.takes.append(take)
    for deed in plan.deeds:
        yield deed.at, _happening(world, take, deed)


def _happening(world: World, take: Take, deed: Deed) -> Callable[[], None]:
    def act() -> None:
        with take.lock:
            if deed.name in ("arrives", "exported again"):
                _arrives(world, take, deed)
            elif deed.name == "planted":
                name = f"{take.folder.name}.txt"
                if not (take.folder / name).exists():
                    world.plant(take.folder / name, TAKES)
                    take.foreign.add(name)
            else:
                with world.turns[TAKES], suppress(OSError):
                    _OTHERS[deed.name](world, take, deed)

    return act


def _arrives(world: World, take: Take, deed: Deed) -> None:
    if deed.name == "exported again" and deed.speaker not in take.stems:
        return
    sound = world.sound(STEM, deed.seed)
    # Where it lies already, a program may write into the same file, or put another one in its place.
    world.bring(deed.way, TAKES, [Source(take.file(deed.speaker), sound)], deed.step)
    world.stems.append(sound)
    take.stems[deed.speaker] = sound


def _renamed(world: World, take: Take, deed: Deed) -> None:
    to = take.folder.with_name(f"Renamed {deed.seed}")
    take.folder.rename(to)
    world.note(f"{take.folder.name} is now {to.name}")
    world.foreign[:] = [to / path.name if path.parent == take.folder else path for path in world.foreign]
    take.folder = to
    take.removed.clear()


def _removed(world: World, take: Take, deed: Deed) -> None:
    if deed.speaker in take.stems:
        take.file(deed.speaker).unlink()
        take.removed.append((deed.speaker, take.stems.pop(deed.speaker)))
        world.note(f"{take.file(deed.speaker)} is removed")


def _taken_out(world: World, take: Take, deed: Deed) -> None:
    """Move a stem into a directory of its own."""
    if deed.speaker in take.stems:
        other = Take(take.folder.with_name(f"Alone {deed.seed}"))
        other.folder.mkdir()
        take.file(deed.speaker).rename(other.file(deed.speaker))
        sound = take.stems.pop(deed.speaker)
        take.removed.append((deed.speaker, sound))
        other.stems[deed.speaker] = sound
        world.takes.append(other)
        world.note(f"{take.file(deed.speaker)} is now in {other.folder.name}")


_OTHERS: Final[Mapping[str, Callable[[World, Take, Deed], None]]] = {
    "renamed": _renamed,
    "removed": _removed,
    "taken out": _taken_out,
}


def unmade(world: World) -> list[str]:
    """Say of which takes the outputs are not those of exactly their stems, and of what else lies there."""
    return [fault for take in list(world.takes) for fault in _faults(take)]


def _faults(take: Take) -> Iterator[str]:
    if not take.stems:
        # What was made before stays, as beside any recording that is deleted.
        return
    here = {path.name for path in take.folder.iterdir()}
    missing = {take.file(speaker).name for speaker in take.stems} - here
    if missing:
        yield f"lost: {take.folder}: {sorted(missing)}"
    left = here - {take.file(speaker).name for speaker in take.stems} - take.foreign
    for kind in _KINDS:
        outputs = sorted(name for name in left if name.endswith(f".{kind}"))
        left -= set(outputs)
        if len(outputs) != 1:
            yield f"{'doubled' if outputs else 'lost'}: {take.folder} has {outputs} as {kind}"
        for name in outputs:
            if not _is_of(take, (take.folder / name).read_text()):
                yield f"untrue: {take.folder / name} is not of {sorted(take.stems)}: {(take.folder / name).read_text()[:300]!r}"
    if left:
        yield f"stray: {take.folder}: {sorted(left)}"


def _is_of(take: Take, text: str) -> bool:
    """Return whether an output has all words of each stem once, with their speaker, and else only what was removed since."""
    said = {speaker: sound.said[""] for speaker, sound in take.stems.items()}
    more = [(speaker, sound.said[""]) for speaker, sound in take.removed]
    alone = [{"": words} for words in said.values() if len(said) == 1]
    return any(says_words(text, speakers, more) for speakers in (said, *alone))
