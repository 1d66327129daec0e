"""The report: frozen, JSON, equal to itself after a round trip."""

import dataclasses
import json
import math

import pytest

import ecomrec
from ecomrec.privacy.accounting.composition import (
    GaussianEvent,
    GumbelTopKEvent,
    PoissonSampledGaussianEvent,
    SetUnionEvent,
)
from ecomrec.privacy.accounting.report import PrivacyReport


def report(**changes):
    values = {
        "private": True,
        "epsilon": 1.0,
        "delta": 1e-6,
        "mu": 0.2367,
        "events": (GaussianEvent(4.225),),
        "accountant": "auto",
        "noise": "rounded_gaussian",
        "secure_noise": True,
        "not_covered": ("a catalogue made from events", "tuning <by hand>"),
    }
    return PrivacyReport(**values | changes)


NOT_PRIVATE = report(
    private=False, epsilon=math.inf, mu=None, events=(), advice="use DPPopularity"
)
MIXED = report(
    mu=None,
    events=(
        GumbelTopKEvent(12.0, 20),
        PoissonSampledGaussianEvent(1.0, 0.01, 1000),
        SetUnionEvent(4.0, 1e-7),
    ),
    secure_noise=False,
)


@pytest.mark.parametrize("one", [report(), NOT_PRIVATE, MIXED], ids=["plain", "inf", "mixed"])
def test_json_gives_the_same_report(one):
    again = PrivacyReport.from_json(one.to_json())
    assert again == one
    assert hash(again) == hash(one)
    assert again.to_json() == one.to_json()


def test_json_is_json():
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    values = json.loads(NOT_PRIVATE.to_json(), parse_constant=refuse)
    assert values["epsilon"] == "inf"
    assert values["private"] is False
    assert values["unit"] == "user"
    assert values["adjacency"] == "add_remove"
    assert values["library_version"] == ecomrec.__version__


def test_reports_differ_where_their_fields_do():
    assert report() == report()
    others = {"events": (), "not_covered": (), "private": False, "secure_noise": False}
    others |= {"epsilon": 2.0, "delta": 0.5, "mu": None}
    for field in dataclasses.fields(PrivacyReport):
        changed = others.get(field.name, "other")
        assert dataclasses.replace(report(), **{field.name: changed}) != report()


def test_reports_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        report().epsilon = 0.1
    assert isinstance(report(events=[GaussianEvent(1.0)], not_covered=["x"]).events, tuple)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"users": 42}, "a privacy report has the fields"),
        ({"epsilon": ...}, "a privacy report has the fields"),
        ({"events": [{"event": "Other"}]}, "an event must be one of"),
        ({"events": None}, "events must be a list"),
        ({"events": {}}, "events must be a list"),
        ({"private": "no"}, "private must be True or False; got 'no'"),
        ({"secure_noise": 1}, "secure_noise must be True or False; got 1"),
        ({"epsilon": -5}, "epsilon must be a number that is not negative; got -5"),
        ({"epsilon": None}, "epsilon must be"),
        ({"epsilon": "0.1"}, "epsilon must be"),
        ({"epsilon": math.nan}, "epsilon must be"),
        ({"delta": 7}, "delta must be a number from 0 to below 1; got 7"),
        ({"delta": "inf"}, "delta must be"),
        ({"mu": -1}, "mu must be a number that is not negative, or None; got -1"),
        ({"mu": math.nan}, "mu must be"),
        ({"mu": True}, "mu must be"),
        ({"noise": None}, "noise must be text; got None"),
        ({"unit": 3}, "unit must be text"),
        ({"advice": 3}, "advice must be text or None; got 3"),
        ({"not_covered": "all"}, "not_covered must be a tuple of texts; got 'all'"),
        ({"not_covered": [1]}, "not_covered must be a tuple of texts"),
    ],
)
def test_other_fields_are_refused(change, words):
    values = json.loads(report().to_json()) | change
    values = {name: value for name, value in values.items() if value is not ...}
    with pytest.raises(ValueError, match=words):
        PrivacyReport.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", pytest.param("[" * 200_000, id="deep")])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match=r"a privacy report has|Expecting"):
        PrivacyReport.from_json(text)


def test_events_must_be_known():
    with pytest.raises(TypeError, match="events must be among"):
        report(events=("GaussianEvent",))


def test_notebooks_show_what_is_promised():
    html = report()._repr_html_()
    assert "<td style='text-align:left'>1e-06</td>" in html
    assert "one user, add or remove" in html
    assert "tuning &lt;by hand&gt;" in html
    assert "advice" not in html
    assert "not private: fitted without noise" in NOT_PRIVATE._repr_html_()
    assert "use DPPopularity" in NOT_PRIVATE._repr_html_()
    assert "seeded: not secure" in MIXED._repr_html_()
