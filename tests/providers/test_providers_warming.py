"""Who goes first for a cold cache."""

from __future__ import annotations

from providers.warming import CacheWarmer


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
