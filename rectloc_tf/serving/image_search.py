"""Which files `--images` means. Imports no TensorFlow."""

import glob
import itertools
import os
import re
from pathlib import Path

from pipelines.folders import folders_below
from rectloc_tf.errors import ConfigError, UserError, reason

SUFFIXES = (".png", ".jpg", ".jpeg")
_MAX_PATH = 4096
_MAX_PATTERNS = 10_000


def find_images(wanted: str) -> list[Path]:
    """The image files that `--images` names, sorted, each real file once.

    Args:
        wanted: a file, a folder (its PNG and JPEG files), a pattern (`*`, `?`, `[abc]`,
            `{png,jpg}`, `**` for all subfolders), or several of these with commas. `~` is the
            home folder. What exists under exactly this name is taken before it is read as a
            pattern or a list.

    Raises:
        UserError: naming the part that matches no file, or the folder without pictures.
        ConfigError: if it is empty.
    """
    paths, rest = [], _split_at_commas(wanted)
    if not any(rest):
        raise ConfigError("--images=: empty; name a file, a folder or a pattern")
    while rest:
        found, taken = _longest_match(rest, wanted)
        paths += found
        rest = rest[taken:]
    # Of several ways to one file, the shortest: links may lead round in circles.
    paths.sort(key=lambda path: (len(path.parts), path))
    return sorted({os.path.realpath(path): path for path in reversed(paths)}.values())


def _longest_match(parts: list[str], wanted: str) -> tuple[list[Path], int]:
    """Files of the first part, or of the first few where a name or pattern holds commas."""
    if not parts[0]:  # as after a last comma
        return [], 1
    names = [name for name in itertools.accumulate(parts, "{},{}".format) if len(name) <= _MAX_PATH]
    for taken in range(len(names), 1, -1):
        if os.path.exists(os.path.expanduser(names[taken - 1])):
            return _match(names[taken - 1], wanted), taken
    for taken, name in enumerate(names, start=1):
        found = _match(name, wanted)
        if found:
            return found, taken
    part = "" if parts[0] == wanted else f": {parts[0]}"
    raise UserError(f"--images={wanted}{part}: no such file")


def _split_at_commas(text: str) -> list[str]:
    """'a.png,*.{png,jpg}' -> ['a.png', '*.{png,jpg}']: commas in braces do not count."""
    parts, depth = [""], 0
    for character in text:
        depth = max(depth + {"{": 1, "}": -1}.get(character, 0), 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    # A brace that is never closed is a character like others.
    return parts if depth == 0 else text.split(",")


def _match(name: str, wanted: str) -> list[Path]:
    """Files of one path or pattern; none if there is nothing of that name."""
    name = os.path.expanduser(name)
    if os.path.isfile(name):
        return [Path(name)]
    if os.path.isdir(name):
        return _images_in(name, wanted)
    if os.path.exists(name):
        raise UserError(f"--images={wanted}: {name} is neither a file nor a folder")
    alternatives = _expand_braces(name)
    if len(alternatives) > 1:
        return [path for alternative in alternatives for path in _match(alternative, wanted)]
    return [Path(found) for found in _glob(name) if os.path.isfile(found)]


def _images_in(folder: str, wanted: str) -> list[Path]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise UserError(f"--images={wanted}: {folder} cannot be read ({reason(error)})") from error
    paths = [Path(folder, name) for name in names if not name.startswith(".")]
    found = [path for path in paths if path.suffix.lower() in SUFFIXES and os.path.isfile(path)]
    if not found:
        raise UserError(f"--images={wanted}: no PNG or JPEG files in the folder {folder}")
    return found


def _expand_braces(pattern: str) -> list[str]:
    """'*.{png,jpg}' -> ['*.png', '*.jpg'], as shells do.

    Raises:
        ConfigError: if they stand for too many patterns, as {a,b}{a,b}{a,b}... soon does.
    """
    done, waiting = [], [pattern]
    while waiting:
        first = waiting.pop()
        braces = re.search(r"\{([^{}]*,[^{}]*)\}", first)
        if not braces:
            done.append(first)
            continue
        before, after = first[: braces.start()], first[braces.end() :]
        waiting += [before + choice + after for choice in reversed(braces[1].split(","))]
        if len(done) + len(waiting) > _MAX_PATTERNS:
            raise ConfigError(f"--images={pattern}: braces for over {_MAX_PATTERNS:,} patterns")
    return done


def _glob(pattern: str) -> list[str]:
    """Like `glob.glob`, but a path component that exists literally is not a pattern.

    And `**` comes to an end where links lead round in circles.
    """
    parts = [part for part, _ in itertools.groupby(pattern.split("/"))]  # **/** is **
    if parts[-1] == "**":
        parts.append("*")
    places = [""]
    if pattern.startswith("/"):
        places, parts = ["/"], parts[1:]
    for part in parts:
        places = [found for place in places for found in _glob_in(place, part)]
    return places


def _glob_in(folder: str, part: str) -> list[str]:
    if part == "**":
        return list(folders_below(folder))
    if part == "" or os.path.lexists(os.path.join(folder, part)):
        names = [part]
    else:
        names = glob.glob(part, root_dir=folder or None)
    return [os.path.join(folder, name) for name in names]
