import tomllib

from hypothesis import given
from hypothesis import strategies as st

from appliance.config import DEFAULT
from appliance.setup.toml import dumps

SCALARS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.datetimes(),
    st.dates(),
    st.times(),
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_written_is_read_again(tables):
    assert tomllib.loads(dumps(tables)) == tables


def test_the_defaults():
    values = tomllib.loads(DEFAULT.read_text())
    assert tomllib.loads(dumps(values)) == values


def test_it_looks_like_a_file():
    assert dumps({"a": {"b": [1, {"c": "d"}]}, "e": True}) == 'e = true\n\n[a]\nb = [1, {c = "d"}]\n'
