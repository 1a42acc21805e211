"""What the query of Speechall's ``/v1/transcribe`` may say, which its WebSocket and its POST share.

Facts from the vendor's streaming page and ``openapi.yaml`` 0.3.0 of GitHub Speechall/speechall-openapi.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from appliance.core.problems import Kind, Refused

SHOWN = 200
"""Characters of a complaint about a parameter."""

CODES = """
af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id is it ja
jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq
sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo zh
"""
"""``TranscriptLanguageCode`` without ``auto`` and the English of three countries."""
LANGUAGES = frozenset(CODES.split())
ISO_639_1 = {"jw": "jv"}
"""Where the vendor's code is another one."""


class Form(enum.StrEnum):
    """``output_format``: what the page and the OpenAPI file have, together."""

    TEXT = "text"
    JSON = "json"
    VERBOSE_JSON = "verbose_json"
    JSON_TEXT = "json_text"
    SRT = "srt"
    VTT = "vtt"


JSON = frozenset({Form.JSON, Form.VERBOSE_JSON, Form.JSON_TEXT})


class Query(Struct, frozen=True, kw_only=True):
    """The parameters with the vendor's names, defaults and ranges; ``interim_results`` is our own."""

    model: Annotated[str, Meta(min_length=1)]
    language: str = "en"
    output_format: Form = Form.TEXT
    ruleset_id: uuid.UUID | None = None
    punctuation: bool = True
    diarization: bool = False
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    initial_prompt: str = ""
    speakers_expected: Annotated[int, Meta(ge=1, le=10)] | None = None
    custom_vocabulary: tuple[str, ...] = ()
    interim_results: bool = False

    @property
    def languages(self) -> tuple[str, ...]:
        """As a session wants them."""
        code = _primary(self.language)
        return () if code == "auto" else (ISO_639_1.get(code, code),)

    @property
    def interim(self) -> bool:
        """Unfinished utterances are told: only where a frame can say that it is one."""
        return self.interim_results and self.output_format in JSON


def read(query: Sequence[tuple[str, str]]) -> Query:
    """Raises ``Refused``, which names the parameter. Unknown and empty ones are ignored."""
    given: dict[str, Any] = {name: value for name, value in query if value}
    try:
        given["custom_vocabulary"] = _vocabulary([value for name, value in query if name == "custom_vocabulary"])
        asked = msgspec.convert(given, Query, strict=False)
    except (msgspec.MsgspecError, UnicodeError) as error:
        what, _, where = str(error).partition(" - at `$.")
        raise Refused(Kind.BAD_OPTION, (f"{where.rstrip('`')}: {what}" if where else what)[:SHOWN]) from error
    if _primary(asked.language) not in LANGUAGES | {"auto"}:
        raise Refused(Kind.UNKNOWN_LANGUAGE, f"language {asked.language[:20]!r}; expected an ISO 639-1 code or 'auto'")
    return asked


def keys(headers: Mapping[str, str], query: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The one in the header and the one in the query; either may be the good one."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    found = (bearer.strip() if scheme.lower() == "bearer" else "", dict(query).get("api_key", "").strip())
    return tuple(key for key in found if key)


def _primary(language: str) -> str:
    """``en`` of ``en_US``."""
    return language.lower().replace("-", "_").partition("_")[0]


def _vocabulary(values: list[str]) -> list[str]:
    """The wire form is not documented: the parameter repeated, a comma list, or a JSON array."""
    phrases: list[str] = []
    for value in values:
        if value.lstrip().startswith("["):
            try:
                phrases += msgspec.json.decode(value, type=list[str])
            except (msgspec.MsgspecError, RecursionError) as error:
                raise Refused(Kind.BAD_OPTION, "custom_vocabulary: expected a JSON array of strings") from error
        else:
            phrases += value.split(",")
    return phrases
