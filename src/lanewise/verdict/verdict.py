"""The verdict of a race: which recipe is best, how sure that is, and what else could be as good."""

from dataclasses import dataclass
from typing import Any

from lanewise.printable import printable
from lanewise.verdict import race_sentences
from lanewise.verdict.findings import Baseline, Finalist, Findings
from lanewise.verdict.phrases import TOO_CLOSE, chance_words

__all__ = ["Baseline", "Finalist", "Findings", "Verdict", "chance_words", "place_words"]


@dataclass(frozen=True, repr=False)
class Verdict(Findings):
    """What a race found, as data and in words."""

    def __str__(self) -> str:
        return printable("\n".join(self.sentences()))

    def __repr__(self) -> str:
        return f"Verdict({' '.join(self.sentences())!r})"

    @property
    def headline(self) -> str:
        """The best recipe and its test score, in one line."""
        return race_sentences.headline(self)

    def sentences(self) -> list[str]:
        """The verdict in words: the headline, then sentences that make a paragraph."""
        return [self.headline, *race_sentences.sentences(self)]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `verdict.json` and `--json`; the words that people read come first."""
        headline, *rest = self.sentences()
        return {"headline": headline, "sentences": rest, **super().to_dict()}


def place_words(finalist: Finalist, verdict: Findings) -> str:
    """A finalist in a cell of a table: `winner`, `worse` or `too close to call`, and whether it is the baseline."""
    place = "winner" if finalist.difference is None else "worse" if finalist.significant else TOO_CLOSE
    given = verdict.baseline is not None and verdict.baseline.candidate == finalist.candidate
    return f"{place}, baseline" if given else place
