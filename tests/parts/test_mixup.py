import pytest
import torch
from scipy import stats
from torch.func import vmap
from torch.nn import functional as F

from lanewise.errors import InputError
from lanewise.parts.mixup import mix, mixed_loss, mixing_weight
from lanewise.parts.smoothing import smoothed_cross_entropy

F64 = torch.float64


@pytest.mark.parametrize("strength", [0.2, 0.4, 1.0, 3.0])
def test_the_weight_is_the_larger_share_of_a_beta_draw(strength):
    torch.manual_seed(0)
    u, v = torch.rand(2, 20_000, dtype=F64)
    weights = mixing_weight(strength, u, v)
    beta = stats.beta(strength, strength)
    assert stats.kstest(weights.numpy(), lambda w: 2 * beta.cdf(w) - 1).pvalue > 0.001


def test_no_strength_is_no_mixup_bit_for_bit():
    x = torch.randn(5, 3)
    weight = mixing_weight(torch.tensor(0.0), torch.rand(()), torch.rand(()))
    assert weight == 1
    assert torch.equal(mix(x, torch.randperm(5), weight), x)


@pytest.mark.parametrize("u", [0.0, 1e-30, 1 - 2**-24])
@pytest.mark.parametrize("v", [0.0, 0.25, 0.75])
@pytest.mark.parametrize("strength", [1e-6, 0.3, 1e6])
def test_the_ends_of_the_draws_give_a_weight(u, v, strength):
    assert 0.5 <= mixing_weight(strength, torch.tensor(u), torch.tensor(v)) <= 1


def test_lanes_share_the_draw_and_keep_their_strengths():
    torch.manual_seed(1)
    strengths = torch.tensor([0.0, 0.1, 0.4, 2.0], dtype=F64)
    x, partner = torch.randn(4, 6, 3, 2, 2, dtype=F64), torch.randperm(6)
    logits, labels = torch.randn(4, 6, 5, dtype=F64), torch.randint(5, (6,))
    u, v = torch.rand(2, dtype=F64)

    def one(x, logits, strength):
        weight = mixing_weight(strength, u, v)
        return weight, mix(x, partner, weight), mixed_loss(smoothed_cross_entropy, logits, labels, partner, weight)

    together = vmap(one)(x, logits, strengths)
    for lane in range(4):
        alone = one(x[lane], logits[lane], float(strengths[lane]))
        torch.testing.assert_close([part[lane] for part in together], list(alone), rtol=0, atol=1e-15)
    assert (together[0].diff() < 0).all()


def test_the_loss_is_that_of_blended_targets():
    torch.manual_seed(2)
    logits, labels, partner = torch.randn(6, 4, dtype=F64), torch.randint(4, (6,)), torch.randperm(6)
    weight = torch.tensor(0.7, dtype=F64)
    onehot = F.one_hot(labels, 4).double()
    blended = weight * onehot + (1 - weight) * onehot[partner]
    for smoothing in (0.0, 0.1):
        ours = mixed_loss(lambda o, t, s=smoothing: smoothed_cross_entropy(o, t, s), logits, labels, partner, weight)
        torch.testing.assert_close(ours, F.cross_entropy(logits, blended, label_smoothing=smoothing))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: mixing_weight(-0.1, torch.rand(()), torch.rand(())),
            r"strength = -0.1: must be a number in \[0, inf\)",
        ),
        (lambda: mixing_weight(float("inf"), torch.rand(()), torch.rand(())), "strength = inf"),
        (lambda: mix(torch.ones(3, dtype=torch.uint8), torch.arange(3), torch.tensor(0.5)), "floating-point type"),
        (lambda: mix(torch.ones(3), torch.arange(2), torch.tensor(0.5)), "one partner a row"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(InputError, match=message):
        build()
