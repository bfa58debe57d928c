"""Usual names of columns that name users, and of those that name items."""

from __future__ import annotations

import re

USER_WORDS = (
    "user",
    "member",
    "customer",
    "session",
    "reviewer",
    "account",
    "client",
    "person",
    "visitor",
    "profile",
    "author",
    "buyer",
    "consumer",
    "subscriber",
    "patient",
    "reader",
    "listener",
    "viewer",
    "rater",
    "player",
    "usr",
    "student",
    "employee",
    "cookie",
    "household",
    "follower",
    "guest",
    "shopper",
    "borrower",
    "voter",
    "learner",
    "participant",
    "respondent",
    "passenger",
    "donor",
)
ITEM_WORDS = (
    "item",
    "movie",
    "product",
    "business",
    "track",
    "song",
    "artist",
    "book",
    "article",
    "video",
    "game",
    "recipe",
    "venue",
    "poi",
    "news",
    "film",
    "anime",
    "listing",
    "merchant",
    "hotel",
    "app",
)
TYPE = re.compile(r":\s*(token|float|token_seq|float_seq)\s*[\"']?\s*$")
_ENDS = (
    "id",
    "no",
    "nr",
    "number",
    "num",
    "token",
    "key",
    "hash",
    "uuid",
    "guid",
    "code",
    "index",
    "idx",
)
_MORE_USERS = {"username", "nickname", "uid", "emailaddress", "login", "msno", "email", "steamid"}
_MORE_ITEMS = {"ean", "parentasin", "sku", "mid", "iid", "asin", "isbn"}
USER_NAMES = {f"{word}{end}" for word in USER_WORDS for end in ("", *_ENDS)} | _MORE_USERS
ITEM_NAMES = {f"{word}{end}" for word in ITEM_WORDS for end in ("", *_ENDS)} | _MORE_ITEMS


def plain_name(name: object) -> str:
    """Return a name in small letters and digits alone, without the type that RecBole writes behind it.

    >>> plain_name('"User_ID:token"'), plain_name("reviewerID"), plain_name("alias_of_user_id")
    ('userid', 'reviewerid', 'aliasofuserid')
    """
    text = TYPE.sub("", str(name)).lower()
    return "".join(letter for letter in text if letter.isalnum())
