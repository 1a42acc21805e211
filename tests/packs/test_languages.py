import pytest

from appliance.core.ports import Capabilities
from appliance.core.problems import Kind, Refused
from appliance.packs.languages import choose


def loaded(*models):
    return [
        Capabilities(
            engine="fake",
            model=name,
            language=language.split()[0],
            languages=tuple(language.split()) if " " in language else (),
            grammar=True,
            word_confidence=True,
            sessions_per_worker=1,
            streams_per_core=1,
        )
        for name, language in models
    ]


US, GB, HINDI = ("us", "en"), ("gb", "en"), ("hindi", "hi")
MANY = ("many", "en hi mr")


@pytest.mark.parametrize(
    ("languages", "models", "default", "chosen"),
    [
        ((), [US], "us", "us"),
        ((), [US, HINDI], "hindi", "hindi"),
        ((), [US, HINDI], "absent", "us"),
        (("hi",), [US, HINDI], "us", "hindi"),
        (("en",), [US, GB], "gb", "gb"),
        (("en",), [US, GB, HINDI], "hindi", "us"),
        (("ta", "hi", "en"), [US, HINDI], "us", "hindi"),
        (("ta", "en"), [HINDI, US], "hindi", "us"),
        # a multilingual model serves what no model of its own does
        (("mr",), [US, HINDI, MANY], "us", "many"),
        (("hi",), [US, HINDI, MANY], "many", "hindi"),
        (("hi",), [US, MANY], "us", "many"),
        (("en",), [MANY, HINDI], "many", "many"),
        (("en",), [MANY, US], "many", "us"),
        ((), [US, MANY], "many", "many"),
    ],
)
def test_the_first_language_that_has_a_model(languages, models, default, chosen):
    assert choose(languages, loaded(*models), default).model == chosen


@pytest.mark.parametrize(
    ("languages", "kind", "detail"),
    [
        (("hi",), Kind.NO_MODEL, "hi; install one with: appliance models install vosk-model-small-hi-0.22"),
        (("or", "te"), Kind.NO_MODEL, "or, te; install one with: appliance models install vosk-model-small-te-0.42"),
        (("ta",), Kind.NO_MODEL, "ta; install one with: appliance models install faster-whisper-base"),
        (("or",), Kind.NO_MODEL, "or; no published pack is known"),
    ],
)
def test_without_a_model_it_says_what_to_install(languages, kind, detail):
    with pytest.raises(Refused) as refused:
        choose(languages, loaded(US), "us")
    assert refused.value.problem.kind is kind
    assert refused.value.problem.detail.startswith(detail)


@pytest.mark.parametrize("languages", [(), ("en",)])
def test_nothing_loaded(languages):
    with pytest.raises(Refused) as refused:
        choose(languages, [], "us")
    assert refused.value.problem.kind is Kind.NOT_READY
