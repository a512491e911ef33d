"""Who goes first for a cold cache, and which server a prompt prefers."""

from __future__ import annotations

from collections import Counter

from providers.affinity import CacheWarmer, preferred


def test_one_goes_first_and_the_rest_wait_until_it_was_answered():
    warmer = CacheWarmer()
    assert warmer.advice("p", 5000) == "go_first"
    assert warmer.advice("p", 5000) == "wait"
    assert warmer.advice("q", 5000) == "go_first"
    warmer.warmed("p")
    assert [warmer.advice("p", 5000) for _ in range(3)] == ["go", "go", "go"]
    assert warmer.advice("q", 5000) == "wait"


def test_the_next_goes_first_if_the_first_failed():
    warmer = CacheWarmer()
    assert warmer.advice("p", 5000) == "go_first"
    warmer.failed("p")
    assert warmer.advice("p", 5000) == "go_first"
    warmer.warmed("p")
    warmer.forget("p")
    assert warmer.advice("p", 5000) == "go_first"


def test_prompts_too_short_to_be_cached_and_providers_without_cache_wait_for_nobody():
    assert CacheWarmer().advice("p", 1023) == "go"
    assert CacheWarmer(enabled=False).advice("p", 5000) == "go"


def test_equal_prompts_go_to_one_server_and_all_servers_get_their_share():
    servers = ["http://a", "http://b", "http://c", "http://d"]
    homes = Counter(preferred(f"prompt {i}", servers)[0] for i in range(4000))
    assert set(homes) == set(servers)
    assert all(800 < count < 1200 for count in homes.values())
    assert preferred("p", servers) == preferred("p", servers[::-1])


def test_a_server_that_leaves_moves_only_its_own_prompts():
    servers = ["http://a", "http://b", "http://c", "http://d"]
    for i in range(500):
        before = preferred(f"prompt {i}", servers)
        after = preferred(f"prompt {i}", servers[:-1])
        assert after == [server for server in before if server != "http://d"]
