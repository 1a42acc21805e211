from appliance.accounts.recent import ENTRIES, RECENT_S, RecentAccounts


def test_includes_account_admitted_before_returns_true_for_a_day():
    recent = RecentAccounts()
    recent.remember("here", "k_1", 100)
    assert recent.includes("here", "k_1", 100 + RECENT_S - 1)
    assert not recent.includes("here", "k_1", 100 + RECENT_S)
    assert not recent.includes("here", "k_1", 99), "the clock was set back"
    assert not recent.includes("here", "k_2", 100)
    assert not recent.includes("elsewhere", "k_1", 100)


def test_remember_more_than_the_limit_drops_the_oldest():
    recent = RecentAccounts()
    for number in range(ENTRIES):
        recent.remember("here", f"k_{number}", 0)
    recent.remember("here", "k_0", 0)
    recent.remember("here", "one more", 0)
    assert recent.includes("here", "k_0", 0)
    assert not recent.includes("here", "k_1", 0)
