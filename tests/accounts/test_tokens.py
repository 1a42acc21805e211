import re

import pytest

from appliance.accounts import tokens
from appliance.accounts.account import Account
from appliance.accounts.tokens import REMEMBERED_S, Token, Tokens

ME = Account("k_000001", "me")


def token(expires=100.0, **fields):
    return Token(**{"account": ME, "scope": "v3", "expires": expires, "single_use": True, "longest_s": None} | fields)


def test_a_token_is_found_by_its_text_only():
    known = Tokens()
    first, second = token(), token()
    texts = [known.add(first, 0), known.add(second, 0, prefix="sutkn_")]
    assert [known.find(text) for text in texts] == [first, second]
    assert known.find(texts[1]) is second
    assert known.find(texts[1].removeprefix("sutkn_")) is None
    assert known.find(texts[0][:-1]) is None
    assert known.find("\ud800") is None


def test_texts_are_long_and_differ():
    known = Tokens()
    texts = {known.add(token(), 0, prefix="p_") for _ in range(50)}
    assert len(texts) == 50
    assert all(re.fullmatch(r"p_[A-Za-z0-9_-]{32,}", text) for text in texts)


def test_the_text_is_not_kept():
    known = Tokens()
    text = known.add(token(), 0)
    assert text.encode() not in b"".join(known._tokens)
    assert text not in repr(vars(known))


@pytest.mark.parametrize(
    ("fields", "scope", "now", "why"),
    [
        ({}, "v3", 99.9, ""),
        ({}, "v3", 100.0, "expired"),
        ({}, "v2", 0.0, "another API"),
        ({"used": True}, "v3", 0.0, "used"),
        ({"used": True}, "v3", 200.0, "used"),
    ],
)
def test_why_it_is_not_good(fields, scope, now, why):
    found = token(**fields).why_not(scope, now)
    assert why in found
    assert bool(found) == bool(why)


def test_an_expired_token_is_remembered_for_a_while():
    known = Tokens()
    text = known.add(token(expires=100), 0)
    known.add(token(expires=9e9), 100 + REMEMBERED_S - 1)
    assert known.find(text) is not None
    known.add(token(expires=9e9), 100 + REMEMBERED_S)
    assert known.find(text) is None


def test_when_there_are_too_many_the_one_that_expires_first_goes(monkeypatch):
    monkeypatch.setattr(tokens, "MOST", 3)
    known = Tokens()
    texts = {expires: known.add(token(expires), 0) for expires in (50, 20, 90, 70)}
    assert [expires for expires, text in texts.items() if known.find(text)] == [50, 90, 70]
    last = known.add(token(10), 0)
    assert known.find(last) is not None
    assert [expires for expires, text in texts.items() if known.find(text)] == [90, 70]
