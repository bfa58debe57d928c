"""Finds tokens in running text: numbers beside a word such as "user", and tokens that are not plain numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from recbole_unlearn.data.column_names import ITEM_WORDS, USER_WORDS
from recbole_unlearn.production.wanted import Wanted, normal

_ABOUT: tuple[str, ...] = (
    "withdraw",
    "withdrawn",
    "withdrawing",
    "withdrawal",
    "token",
    "forget",
    "forgot",
    "forgotten",
    "unlearn",
)
_ABOUT += ("unlearned", "unlearning", "erase", "erased", "delete", "deleted", "remove", "removed")
_TOLD = ("interaction", "pair")
_ID = r"(?:[_\- ]?(?:ids?|no|nr|number|token|name|key|hash|uuid)(?![a-z]))?"
_BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=[a-z0-9])(?=[A-Z]))"
_BETWEEN = r"(?P<between>(?:\s+with\s+id)?[\"'\\\])]*\s*(?:(?:[:=#~/\-_]|->|=>|\bis\b|%3[dD]|&quot;)\s*)*)"
_TOKEN = re.compile(r"[\[({\"'\\\s]*([^\s\"',;&<>()\[\]{}=|\\/]+)[\"'\\)\]}]*\s*(?:(,|;)|\b(?:and|und)\b)?")
_WORD = re.compile(r"[^\s,;'\"\[\](){}<>|=&?]{6,}")
_ANY = re.compile(r"[\w.@+\-]+")
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_LETTER = re.compile(r"[A-Za-z]")
_PART = re.compile(r"[^/:#]+")
_BARE = re.compile(r"[\d.,:+\-/%eExX]*")
_OPENING = re.compile(r"\s*[\[({\"'\\]")
_LONGEST_LIST = 1 << 16  # tokens


class Mentions:
    """Decides whether a line names a withdrawn user or item.

    Args:
        wanted: What is searched for.

    Example:
        >>> mentions = Mentions(Wanted.from_spec({"users": ["196", "anna@x.org"]}))
        >>> [mentions.names(line) for line in ("user_id=196", "took 196 s", "users: 196", "to anna@x.org.", "uids [7, 196]")]
        [True, False, False, True, True]
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        users = _alternatives((*USER_WORDS, "uid", "asker"), wanted.spec.user_columns)
        items = _alternatives((*ITEM_WORDS, "asin", "iid"), wanted.spec.item_columns)
        kinds = [rf"(?P<user>{users}){_ID}(?P<users>s|[_ ]?list)?", rf"(?P<about>{'|'.join(_ABOUT)})s?"]
        if wanted.has_items or wanted.has_pairs:
            kinds += [rf"(?P<item>{items}){_ID}(?P<items>s|[_ ]?list)?", rf"(?P<told>{'|'.join(_TOLD)})s?"]
        self._keyed = re.compile(rf"{_BEGIN}(?i:{'|'.join(kinds)})(?![A-Za-z]){_BETWEEN}")
        self._stems = _stems([*_ABOUT, *_TOLD, *users.split("|"), *items.split("|")])
        self._words: dict[str, bool] = {}

    def names(self, line: str) -> bool:
        """Return whether a line names a user, an item or a pair that is searched for."""
        if line.isascii() and not _LETTER.search(line):
            return False  # numbers alone
        line = _COLOURS.sub("", line) if "\x1b" in line else line
        line = unquote(line) if "%" in line else line
        return self._in_words(line) or self._by_key(line)

    def has(self, line: str) -> bool:
        """Return whether a user or item that is searched for is anywhere in a line, even by chance."""
        return any(map(self.wanted.token, _ANY.findall(line)))

    def _by_key(self, line: str) -> bool:
        small = line.lower()
        if not any(word in small for word in self._stems):
            return False
        before: tuple[str, list[str]] = ("", [])
        for match in self._keyed.finditer(line):
            if not match["between"] and not _OPENING.match(line, match.end()):
                continue
            kind = next(kind for kind in ("user", "about", "item", "told") if match.groupdict().get(kind))
            many = kind in ("about", "told") or bool(match.groupdict().get(f"{kind}s"))
            tokens = list(self._tokens(line, match.end(), many and not match["between"].strip().startswith("/")))
            if self._is_named(kind, tokens) or (self.wanted.has_pairs and self._is_pair(before, (kind, tokens))):
                return True
            before = (kind, tokens)
        return False

    def _is_named(self, kind: str, tokens: list[str]) -> bool:
        """Return whether the tokens after a word are withdrawn; those of interactions are users and items in turn."""
        users = tokens[::2] if kind == "told" else tokens if kind in ("user", "about") else []
        items = tokens[1::2] if kind == "told" else tokens if kind in ("item", "about") else []
        return any(map(self.wanted.user, users)) or any(map(self.wanted.item, items))

    def _is_pair(self, before: tuple[str, list[str]], here: tuple[str, list[str]]) -> bool:
        """Return whether users and items that are named one after the other are a pair, or a list holds one."""
        kind, tokens = here
        if kind in ("told", "about"):
            return any(map(self.wanted.pair, tokens, tokens[1:]))
        if {before[0], kind} != {"user", "item"}:
            return False
        users, items = (before[1], tokens) if kind == "item" else (tokens, before[1])
        return any(self.wanted.pair(user, item) for user in users[:50] for item in items[:50])

    def _tokens(self, line: str, start: int, many: bool) -> Iterator[str]:
        """Yield the tokens behind a word; behind a plural one bare number alone is a count."""
        sure = not many or bool(_OPENING.match(line, start))
        match = _TOKEN.match(line, start)
        for number in range(_LONGEST_LIST):
            if match is None:
                return
            goes_on = match[0].rstrip().endswith((",", ";", "and", "und"))
            after = _TOKEN.match(line, match.end()) if goes_on else None
            listed = number > 0 or (after is not None and bool(_BARE.fullmatch(after[1])))
            if sure or listed or not _BARE.fullmatch(match[1]):
                token = match[1].rstrip(".!?:")
                yield token
                if ":" in token:  # as in user:196:name
                    yield token.partition(":")[0]
            match = after

    def _in_words(self, line: str) -> bool:
        for word in _WORD.findall(line):
            known = self._words.get(word)
            if known is None:
                known = any(map(self._is_token, {word, *_PART.findall(word)}))
                if len(self._words) > 1 << 18:
                    self._words.clear()
                self._words[word] = known
            if known:
                return True
        return False

    def _is_token(self, word: str) -> bool:
        word = normal(word.strip(".!:*`#"))
        return len(word) >= 6 and not _BARE.fullmatch(word) and self.wanted.token(word)


def _stems(words: list[str]) -> list[str]:
    """Return the words that hold none of the others: a line without them has none of the others either.

    >>> _stems(["users", "user", "uid"])
    ['uid', 'user']
    """
    small = sorted({word.replace("\\", "").lower() for word in words})
    return [word for word in small if not any(other != word and other in word for other in small)]


def _alternatives(words: tuple[str, ...], more: object) -> str:
    names = [re.escape(str(name)) for name in more] if isinstance(more, list | tuple | set | frozenset) else []
    return "|".join(sorted({*words, *names}, key=len, reverse=True))
