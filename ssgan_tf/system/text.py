"""Text for a line of the terminal: numbers of things, times, columns, names in one line."""

import unicodedata


def in_one_line(text: str) -> str:
    """Escapes what would break a line or control a terminal."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        else character
        for character in text
    )


def counted(number: int, what: str) -> str:
    """A number of things, such as "1 image" and "2,000 images"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def display_width(name: str) -> int:
    """The width of a name in a terminal; letters of East Asia are two columns wide."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def padded(name: str, columns: int) -> str:
    """A name with spaces after it, so that it is `columns` wide in a terminal."""
    return name + " " * (columns - display_width(name))


def clock(seconds: float) -> str:
    """A time such as 0:05 or 1:01:05: hours only where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
