"""What is known of a task before training, and the space that is made of it."""

from typing import Any

import pytest
import torch
from torch import nn

import lanewise as lw
from lanewise.errors import InputError
from lanewise.recipe.spaces import Facts
from lanewise.task.spaces import built_in_spaces, facts_of, space_by_name

GENERATOR = torch.Generator().manual_seed(0)
TABLE = torch.randn(200, 6, generator=GENERATOR)
LABELS = torch.arange(200) % 2
PICTURES = torch.randn(80, 1, 8, 8, generator=GENERATOR)
TOKENS = torch.randint(0, 20, (120, 7), generator=GENERATOR)
TRAINED = {name: value * 3 for name, value in nn.Linear(6, 64).state_dict().items()}


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


def trained() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 2))
    model[0].load_state_dict(TRAINED)
    return model


def seeded() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 2))


def vectors() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.PReLU(), nn.Linear(6, 2))


class Reader(nn.Module):
    """Reads tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.cell = nn.GRU(8, 8, batch_first=True)
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(8, 2)

    def forward(self, tokens: Any) -> Any:
        return self.head(self.drop(self.cell(self.embedding(tokens))[0][:, -1]))


def facts(model: Any, x: Any, y: Any = None, **given: Any) -> Facts:
    return facts_of(lw.Task(model, (x, LABELS[: len(x)] if y is None else y), **given))


def test_a_table() -> None:
    found = facts(plain, TABLE)
    assert (found.kind, found.rows, found.smooths, found.mixes, found.matrices) == ("table", 120, True, True, True)
    assert (found.dropout, found.norm_momentum, found.converts, found.imbalance) == ((), (), False, 1.0)


def test_pictures() -> None:
    found = facts("cnn", PICTURES)
    assert (found.kind, found.dropout, found.norm_momentum, found.converts) == ("vision", (0.0,), (0.1, 0.1), True)


def test_tokens_are_read_by_a_model_of_sequences() -> None:
    found = facts(Reader, TOKENS)
    assert (found.kind, found.dropout, found.mixes) == ("text", (0.25,), False)


def test_numbers_have_no_labels_to_smooth() -> None:
    found = facts(lambda: nn.Linear(6, 1), TABLE, TABLE.sum(1))
    assert (found.smooths, found.imbalance) == (False, 1.0)


def test_unbalanced_classes() -> None:
    y = (torch.arange(200) % 10 == 0).long()
    assert facts(plain, TABLE, y).imbalance == 9.0
    assert facts(plain, TABLE, y, class_weights="balanced").weighed


def test_frozen_matrices_are_none() -> None:
    def frozen() -> nn.Module:
        model = vectors()
        model[2].weight.requires_grad_(False)
        return model

    assert facts(vectors, TABLE).matrices
    assert not facts(frozen, TABLE).matrices


def test_weights_that_do_not_depend_on_the_seed_are_pretrained() -> None:
    assert facts(trained, TABLE).kind == "finetune"


def test_the_parts_drawn_anew_beside_pretrained_ones_are_named() -> None:
    def with_head() -> nn.Module:
        model = nn.Module()
        model.body, model.head = trained(), nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3), nn.Linear(3, 2))
        model.forward = lambda x: model.head(model.body(x))
        return model

    def of_adapters() -> nn.Module:
        return lw.lora(trained(), rank=1)

    assert facts(with_head, TABLE).new_parts == ("body.2.*", "head.*")
    assert facts(of_adapters, TABLE).new_parts == ()
    assert facts(vectors, TABLE).new_parts == ()
    assert facts(trained, TABLE).new_parts == ("2.*",)


def test_weights_as_a_layer_draws_them_are_not() -> None:
    assert facts(seeded, TABLE).kind == "table"


@pytest.mark.parametrize(("splits", "rows"), [({"folds": 4}, 120), ({"splits": [(range(90), range(90, 160))]}, 90)])
def test_the_examples_of_a_run(splits: dict[str, Any], rows: int) -> None:
    source = lw.load((TABLE, LABELS), **({"test": range(160, 200)} if "splits" in splits else {}), **splits)
    assert facts_of(lw.Task(plain, source)).rows == rows


def test_a_space_as_one_of_another_kind() -> None:
    task = lw.Task(plain, (TABLE, LABELS))
    assert lw.auto(task).clip is None
    assert lw.auto(task, "text").clip is not None
    assert lw.auto(task, "table") == lw.auto(task)
    with pytest.raises(InputError, match="space 'pictures': must be one of vision, text, table, finetune"):
        lw.auto(task, "pictures")


def test_its_length_and_batch_size() -> None:
    found = lw.auto(lw.Task(plain, (TABLE, LABELS)), epochs=3, batch_size=25)
    assert (found.epochs, found.batch_size) == (3, 25)
    assert {recipe.batch_size for recipe in lw.portfolio(lw.Task(plain, (TABLE, LABELS)), found).values()} == {25}


def test_the_names_give_the_same_spaces() -> None:
    task = lw.Task(plain, (TABLE, LABELS))
    made = built_in_spaces(task)
    assert list(made) == ["auto", "classic", "vision", "text", "table", "finetune"]
    for name, make in made.items():
        assert space_by_name(task, name)[0] == make(None, None)
    assert made["classic"](None, None) == lw.classic()
    assert space_by_name(task, "auto", 4, 10)[0] == made["auto"](4, 10)


def test_a_model_that_fails_is_refused_in_its_own_words() -> None:
    with pytest.raises(InputError, match="model fails on inputs"):
        lw.auto(lw.Task(lambda: nn.Linear(5, 2), (TABLE, LABELS)))
