"""How candidates are drawn and where that is recorded: as the user asked for it, and as `run.json` holds it."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lanewise.errors import InputError, a_type
from lanewise.recipe.file import dump, load
from lanewise.recipe.recipe import Recipe, parameters_of
from lanewise.sampling.sampler import Sampler, Shared
from lanewise.sampling.samplers import OWN, OwnSampler, check_sampler, grid, own_name


@dataclass(frozen=True)
class Drawing:
    """How candidates are drawn, and where that is recorded.

    Args:
        sampler: a name in `lanewise.sampling.samplers.SAMPLERS`, or what a sampler of the user's own is recorded as.
        own: that sampler. enqueue: recipes that are raced first, in this order.
        portfolio: (name, recipe) of those that people use by habit, raced before these.
        storage: the URL of a shared database that takes the place of the run's own file, or where that stands; see
            `lanewise.sampling.database_url`. study: the name there.
    """

    sampler: str = "tpe"
    own: OwnSampler | None = None
    enqueue: tuple[Recipe, ...] = ()
    portfolio: tuple[tuple[str, Recipe], ...] = ()
    # It may hold a password.
    storage: str | None = field(default=None, repr=False)
    study: str | None = None

    def __post_init__(self) -> None:
        check_sampler(self.sampler, self.own)
        for recipe in (*self.enqueue, *(recipe for _, recipe in self.portfolio)):
            if not isinstance(recipe, Recipe):
                raise InputError(f"enqueue holds {a_type(recipe)}: must hold recipes or the paths of some")
            if recipe.is_space:
                raise InputError(f"enqueue: {recipe}: has ranges; must be a recipe in which everything is chosen")

    @classmethod
    def asked(
        cls,
        sampler: str | OwnSampler = "tpe",
        enqueue: Sequence[Recipe] = (),
        storage: str | None = None,
        folder: Path | None = None,
    ) -> "Drawing":
        """What the user asked for; the study in a shared database is named after the run's folder, and like no other.

        Raises:
            InputError: no such sampler, no recipe, or no URL of a database.
        """
        own = None if isinstance(sampler, str) else sampler
        kind = sampler if isinstance(sampler, str) else own_name(sampler)
        if storage is None:
            return cls(kind, own, tuple(enqueue))
        from lanewise.sampling.database_url import DatabaseURL

        url = DatabaseURL.of(storage)
        name = f"{folder.absolute().name if folder else 'race'}-{uuid.uuid4().hex[:8]}"
        return cls(kind, own, tuple(enqueue), storage=url.text, study=name)

    @classmethod
    def recorded(
        cls, data: dict[str, Any], where: str, sampler: OwnSampler | None = None, storage: str | None = None
    ) -> "Drawing":
        """What `to_dict` gave, with the sampler and the password that no record holds.

        Raises:
            InputError: one of them is missing, or is given and was not there.
        """
        kind = data.get("sampler", "tpe")
        if str(kind).startswith(OWN) and sampler is None:
            raise InputError(
                f"{where}: its sampler, {str(kind).removeprefix(OWN)}, is your own, and a record names no code to "
                "import; resume(folder, task, sampler=...) in Python, with the sampler as it was when the race began"
            )
        if sampler is not None and own_name(sampler) != kind:
            raise InputError(f"{where}: sampler was {kind} when the race began, and is {own_name(sampler)}")
        url, name = data.get("storage"), data.get("study")
        if url is None and storage is not None:
            raise InputError(f"{where}: storage: its record is in its own folder; a race that began so goes on so")
        if url is not None and data.get("password") and storage is None:
            raise InputError(
                f"{where}: its record is in {url}, whose password is not on record; give it again: storage=URL"
            )
        if url is not None and storage is None:
            # The folder may come from elsewhere, and the study that it names is emptied.
            raise InputError(
                f"{where}: its record is in another place, {url}; if that is right, give it again: storage=URL"
            )
        enqueue = tuple(load(text, where)[0] for text in data.get("enqueue", []))
        portfolio = tuple((str(one), load(text, where)[0]) for one, text in data.get("portfolio", {}).items())
        if storage is not None:
            from lanewise.sampling.database_url import DatabaseURL

            found = DatabaseURL.of(storage, url)
            if found.path is not None and not found.path.exists():
                raise InputError(f"{where}: storage: {found.path}: there is no such file; its record was in {url}")
            storage = found.text
        return cls(kind, sampler, enqueue, portfolio, storage or url, name)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `run.json`, without the secrets in the URL of a database."""
        about = {
            "sampler": self.sampler,
            "enqueue": [dump(recipe) for recipe in self.enqueue],
            "portfolio": {name: dump(recipe) for name, recipe in self.portfolio},
            "study": self.study,
        }
        if self.storage is None:
            return about
        from lanewise.sampling.database_url import DatabaseURL

        url = DatabaseURL.of(self.storage)
        return about | {"storage": url.recorded, "password": url.has_secrets}

    def changed(self, change: Callable[[Recipe], Recipe]) -> "Drawing":
        """The same with every recipe that is raced in any case changed."""
        portfolio = tuple((name, change(recipe)) for name, recipe in self.portfolio)
        return replace(self, enqueue=tuple(map(change, self.enqueue)), portfolio=portfolio)

    @property
    def bounds(self) -> bool:
        """Whether only some structures are drawn from where a space has many: a grid or a user's sampler takes all."""
        return self.sampler != "grid" and self.own is None

    def check(self, space: Recipe, seed: int, candidates: int | None) -> None:
        """Raise `InputError` unless `candidates` of `space` can be drawn so, the enqueued ones among them."""
        if candidates is None:
            if self.sampler == "grid":
                raise InputError(
                    "sampler = 'grid': goes with candidates, not with a budget: a grid has a size of its own"
                )
            return
        given = [*self.enqueue, *(recipe for _, recipe in self.portfolio)]
        if len(given) > candidates:
            raise InputError(
                f"candidates = {candidates}: must be at least {len(given)}, as many as enqueue "
                f"{'and the portfolio hold' if self.portfolio else 'holds'}"
            )
        if self.sampler == "grid":
            points = len(grid(space, seed))
            points += sum(parameters_of(space, recipe) is None for recipe in given)
            if candidates > points:
                raise InputError(
                    f"candidates = {candidates}: the grid of this space has {points} points; must be no more"
                )

    def sampler_for(self, space: Recipe, seed: int, database: Path | None, resumed: dict[str, Any] | None) -> Sampler:
        """The sampler of a race.

        Args:
            database: the run's own file, if it has a folder. resumed: None for a new race; else what the last
                checkpoint holds, which is nothing where the race was killed before there was one.
        """
        record = Shared(self.storage, str(self.study)) if self.storage is not None else database
        how: dict[str, Any] = {"kind": self.sampler, "own": self.own}
        if resumed is None or record is None:
            sampler = Sampler(space, seed, record, **how)
        else:
            journal, recipes = resumed.get("journal", []), resumed.get("recipes", [])
            sampler = Sampler.replayed(space, seed, record, journal, recipes, **how)
        if not sampler.journal:
            for name, recipe in self.portfolio:
                sampler.enqueue(recipe, name)
            for recipe in self.enqueue:
                sampler.enqueue(recipe)
        return sampler
