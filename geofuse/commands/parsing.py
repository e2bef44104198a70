"""From words to options: argparse made of the options' descriptions; nothing twice, no number taken for a flag."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from geofuse.commands.table import COMMANDS
from geofuse.errors import UsageError

if TYPE_CHECKING:
    from geofuse.config.option import Option, Switch

T = TypeVar("T")
_NUMBER = r"(?:\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf(?:inity)?|nan)"
_NEGATIVE = re.compile(rf"-{_NUMBER}(?:[,;][+-]?{_NUMBER})*$", re.IGNORECASE)
"""What argparse must not take for an option: a number, also with an exponent, or a list of them, that begins with -."""


class Once(argparse.Action):
    """Keep a value; refuse a second one, for it would silently win."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store it."""
        if option_string is not None:
            seen: set[str] = vars(namespace).setdefault("_seen", set())
            if self.dest in seen:
                raise UsageError(f"{option_string} a second time", wanted="it once")
            seen.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """A parser whose faults are geofuse's: one line, a code, exit status 2."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("action", None, Once)
        self.register("action", "store", Once)
        self._negative_number_matcher = _NEGATIVE

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing usage."""
        raise UsageError(message, do=f"see `{self.prog} --help`")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; several numbers may also be given as one word: --shift -1e-3,2."""
        words = args if args is None else list(self._spread(args))
        return super().parse_known_args(words, namespace)

    def _spread(self, words: Iterable[str]) -> Iterable[str]:
        """Yield the words, those of an option that takes N numbers one by one where they came as A,B,..."""
        wanted = 0
        for word in words:
            flag, mark, rest = word.partition("=")
            known = self._option_string_actions.get(flag)
            count = known.nargs if known is not None and isinstance(known.nargs, int) else 0
            if count and mark and rest.count(",") == count - 1:
                yield from (flag, *rest.split(","))
            elif wanted and word.count(",") == wanted - 1:
                yield from word.split(",")
            else:
                yield word
            wanted = count if count > 1 and not mark else 0


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    *,
    text: str = "",
    examples: str = "",
) -> Any:
    """Add a command that `run` carries out, described as the table of commands does or by `text`; its parser."""
    text = text or COMMANDS[name][1]
    command = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"examples:\n{examples}" if examples else None,
    )
    command.set_defaults(run=run)
    return command


def add_options(parser: Any, options: Iterable[Option], **helps: str) -> None:
    """Add options as they are described; `helps` say some otherwise for this command. What is not given is None."""
    for option in options:
        text = helps.get(option.name, option.help)
        words = f"{text} ({option.default_words})" if option.default_words else text
        if option.flag:
            parser.add_argument(option.flag, dest=option.name, help=_plain(words), **_taken(option))
        elif option.kind in ("text", "place") and option.metavar:
            parser.add_argument(option.name, nargs="?", metavar=option.metavar, help=_plain(words))
        elif option.switches:
            _add_switches(parser, option, option.switches, helps.get(option.name))


def _add_switches(parser: Any, option: Option, switches: Sequence[Switch], text: str | None) -> None:
    group = parser.add_mutually_exclusive_group() if len(switches) > 1 else parser
    for switch in switches:
        group.add_argument(
            switch.flag,
            dest=option.name,
            action="store_const",
            const=switch.value,
            help=_plain(text or switch.help or option.help),
        )


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _taken(option: Option) -> dict[str, object]:
    """Return how argparse is to take an option's words."""
    readers: dict[str, Callable[[str], object]] = {
        **{"whole": int, "wholes": int if option.count else whole_numbers, "number": float, "names": names},
        **{"numbers": float if option.count else numbers, "size": size_in_bytes},
    }
    taken: dict[str, object] = {"metavar": option.metavar}
    if option.kind in readers:
        taken["type"] = readers[option.kind]
    if option.kind == "places":
        taken["action"] = "append"
    if option.count:
        taken["nargs"] = option.count
    return taken


def names(text: str) -> list[str]:
    """Read a list of names."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str) -> tuple[float, ...]:
    """Read a list of numbers."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        hint = "; a network's weights are named with --network" if text.endswith(".safetensors") else ""
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers{hint}") from error


def whole_numbers(text: str) -> tuple[int, ...]:
    """Read a list of whole numbers."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers") from error


def size_in_bytes(text: str) -> int:
    """Read a size such as 4GiB, 512MB or 1g."""
    from geofuse.files import parse_bytes

    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def given(arguments: argparse.Namespace, options: Iterable[Option]) -> dict[str, object]:
    """Return what was given of options, by name."""
    found = {option.name: getattr(arguments, option.name, None) for option in options}
    return {name: value for name, value in found.items() if value is not None}


def section_of(kind: Callable[..., T], arguments: argparse.Namespace, options: Iterable[Option]) -> T:
    """Return a section of what was given; the rest has its own defaults."""
    return kind(**given(arguments, options))


def refuse(arguments: argparse.Namespace, names: Sequence[str], *, because: str, wanted: str) -> None:
    """Refuse what was given though nothing would hear it; `names` are dests, spelled as flags in the error."""
    values = [(name, getattr(arguments, name, None)) for name in names]
    said = [
        f"--{name.replace('_', '-')}"
        for name, value in values
        if value is not None and value is not False and value not in ("", [])
    ]
    if said:
        raise UsageError(f"{', '.join(said)} {because}", wanted=wanted, do="or leave it out")
