"""Persons with several index episodes, whose episodes are alike."""

from __future__ import annotations

import pandas as pd

__all__ = ["episode_notes", "with_several_episodes"]

_PERSON = "person"


def episode_notes(
    table: pd.DataFrame, suppress_below: int | None, *, cluster: str | None = None
) -> tuple[str, ...]:
    """Say that the episodes of one person are taken as independent; nothing where nobody has several, or persons are the clusters.

    Parameters
    ----------
    table
        One row an episode, with the patients' column `person` if they have it.
    suppress_below
        Small numbers of persons are not told.
    cluster
        Column whose groups the standard errors allow to be alike, if any.

    Examples
    --------
    >>> table = pd.DataFrame({"patient": ["a1", "a2", "b"], "person": ["a", "a", "b"]})
    >>> episode_notes(table, None)[0].split(":")[0]
    '1 of 2 persons with several index episodes'
    >>> episode_notes(table, None, cluster="person")
    ()
    """
    several, persons = (0, 0) if cluster == _PERSON else with_several_episodes(table)
    if not several:
        return ()
    hidden = suppress_below is not None and several < suppress_below
    who = "Some persons" if hidden else f"{several} of {persons} persons"
    return (
        f"{who} with several index episodes: these are taken as independent here, so that errors, intervals and p-values are not right where "
        "episodes of one person are alike. Of times to events cox(cluster='person') allows for it; else keep one episode of each person.",
    )


def with_several_episodes(table: pd.DataFrame) -> tuple[int, int]:
    """How many persons have several index episodes, and of how many; 0 without a column `person`.

    >>> with_several_episodes(pd.DataFrame({"person": ["a", "a", "b"]}))
    (1, 2)
    """
    episodes = table[_PERSON].value_counts() if _PERSON in table else pd.Series(dtype=int)
    return int((episodes > 1).sum()), len(episodes)
