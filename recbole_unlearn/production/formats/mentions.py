"""Finds who is named in running text: beside a word that says what a number is, or by a token that is no bare number."""

from __future__ import annotations

import re
from collections.abc import Iterator

from recbole_unlearn.production.columns import ITEM_WORDS, USER_WORDS
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
_TOLD = ("interaction", "pair", "row")
_ID = r"(?:[_\- ]?(?:ids?|no|nr|number|token|name|key|hash|uuid)(?![a-z]))?"
_BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=[a-z0-9])(?=[A-Z]))"
_BETWEEN = r"(?P<between>(?:\s+with\s+id)?[\"'\\\])]*\s*(?:(?:[:=#~/\-_]|->|=>|\bis\b|%3[dD]|&quot;)\s*)*)"
_TOKEN = re.compile(r"[\[({\"'\\\s]*([^\s\"',;&<>()\[\]{}=|\\/]+)[\"'\\)\]}]*\s*(?:(,|;)|\b(?:and|und)\b)?")
_WORD = re.compile(r"[^\s,;'\"\[\](){}<>|=&?]+")
_PART = re.compile(r"[^/:#]+")
_BARE = re.compile(r"[\d.,:+\-/%eExX]*")
_OPENING = re.compile(r"\s*[\[({\"'\\]")
_LONGEST_LIST = 1 << 16  # tokens


class Mentions:
    """Tells whether a line names somebody.

    Args:
        wanted: Who and what is looked for.

    Example:
        >>> mentions = Mentions(Wanted.from_spec({"users": ["196", "anna@x.org"]}))
        >>> [mentions.names(line) for line in ("user_id=196", "took 196 s", "users: 196", "to anna@x.org.", "uids [7, 196]")]
        [True, False, False, True, True]
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        users = _alternatives((*USER_WORDS, "uid", "asker"), wanted.told.user_columns)
        items = _alternatives((*ITEM_WORDS, "asin", "iid"), wanted.told.item_columns)
        kinds = [rf"(?P<user>{users}){_ID}(?P<users>s|[_ ]?list)?", rf"(?P<about>{'|'.join(_ABOUT)})s?"]
        if wanted.has_items or wanted.has_pairs:
            kinds += [rf"(?P<item>{items}){_ID}(?P<items>s|[_ ]?list)?", rf"(?P<told>{'|'.join(_TOLD)})s?"]
        self._keyed = re.compile(rf"{_BEGIN}(?i:{'|'.join(kinds)})(?![A-Za-z]){_BETWEEN}")
        self._words: dict[str, bool] = {}

    def names(self, line: str) -> bool:
        """Return whether a line names a user, an item or a pair that is looked for."""
        return self._in_words(line) or self._by_key(line)

    def _by_key(self, line: str) -> bool:
        users: list[str] = []
        items: list[str] = []
        for found in self._keyed.finditer(line):
            kind = (
                "user"
                if found["user"]
                else "about"
                if found["about"]
                else "item"
                if found.groupdict().get("item")
                else "told"
            )
            many = kind in ("about", "told") or bool(found.groupdict().get(f"{kind}s"))
            if not found["between"] and not _OPENING.match(line, found.end()):
                continue
            tokens = list(self._tokens(line, found.end(), many and not found["between"].strip().startswith("/")))
            if kind == "told":
                users, items = [*users, *tokens[::2]], [*items, *tokens[1::2]]
                continue
            if kind in ("user", "about") and any(map(self.wanted.user, tokens)):
                return True
            if kind in ("item", "about") and any(map(self.wanted.item, tokens)):
                return True
            (items if kind == "item" else users).extend(tokens)
        return self.wanted.has_pairs and any(self.wanted.pair(user, item) for user in users[:50] for item in items[:50])

    def _tokens(self, line: str, start: int, many: bool) -> Iterator[str]:
        """Yield the tokens behind a word; behind a plural one bare number alone is a count."""
        listed = not many or bool(_OPENING.match(line, start))
        found = _TOKEN.match(line, start)
        for number in range(_LONGEST_LIST):
            if found is None:
                return
            if number or listed or found[2] or not _BARE.fullmatch(found[1]):
                yield found[1].rstrip(".!?:")
            if not found[0].rstrip().endswith((",", ";", "and", "und")):
                return
            found = _TOKEN.match(line, found.end())

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


def _alternatives(words: tuple[str, ...], more: object) -> str:
    names = [re.escape(str(name)) for name in more] if isinstance(more, list | tuple | set | frozenset) else []
    return "|".join(sorted({*words, *names}, key=len, reverse=True))
