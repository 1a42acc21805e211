from appliance.setup.console import SHOWN, errors, issue
from appliance.setup.problem import Problem


def test_how_to_reach_it():
    assert issue("kitchen", 80, None, []) == ("speech appliance kitchen\n  http://kitchen.local:80\n  address: \\4\n\n")


def test_the_key_and_the_mistakes():
    shown = issue("kitchen", 80, "sak_x", [Problem("wrong", 3), Problem("failed", failure=True)])
    assert "  API key: sak_x\n" in shown
    assert "    line 3: wrong\n    failed\n" in shown


def test_nothing_of_the_owner_is_an_order_to_agetty():
    shown = issue("kitchen", 80, None, [Problem("there is no model \\n\\4 \u201cx\u201d", 1)])
    assert shown.count("\\") == 1
    assert "there is no model /n/4 ?x?" in shown


def test_a_screen_is_small():
    problems = [Problem("wrong", line) for line in range(1, SHOWN + 3)]
    shown = issue("kitchen", 80, None, problems)
    assert f"line {SHOWN}: wrong" in shown
    assert "    and 2 more: appliance-errors.txt on the card\n" in shown
    assert f"line {SHOWN + 2}: wrong\n" in errors(problems)
