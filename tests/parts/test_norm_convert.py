import pytest
import torch
from torch import nn

from lanewise.errors import InputError
from lanewise.parts.norm import BatchNormLast, GhostBatchNorm, GroupNormLast, convert_norm

X = torch.randn(8, 3, 6, 6)


def cnn(norm=nn.BatchNorm2d, dense=nn.BatchNorm1d):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), norm(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4, bias=False), dense(4)
    )
    for module in (net[1], net[5]):
        nn.init.uniform_(module.weight, 0.5, 2)
        nn.init.normal_(module.bias)
    return net


def test_layer_norm_over_each_row():
    net = cnn()
    new = convert_norm(net, to="layer")
    assert isinstance(new[1], nn.GroupNorm)
    image = torch.randn(5, 8, 4, 4)
    wanted = nn.functional.layer_norm(image, (8, 4, 4)) * net[1].weight.view(8, 1, 1) + net[1].bias.view(8, 1, 1)
    torch.testing.assert_close(new[1](image), wanted)
    row = torch.randn(5, 4)
    torch.testing.assert_close(new[5](row), nn.functional.layer_norm(row, (4,), net[5].weight, net[5].bias))
    assert isinstance(net[1], nn.BatchNorm2d)


@pytest.mark.parametrize("to", ["batch", "layer", "group", "none"])
@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d,
        lambda c: GhostBatchNorm(c, 4),
        lambda c: nn.GroupNorm(2, c),
        lambda c: nn.InstanceNorm2d(c, affine=True),
        lambda c: nn.LayerNorm([c, 4, 4]),
    ],
    ids=["batch", "ghost", "group", "instance", "layer"],
)
def test_every_kind_to_every_kind(norm, to):
    net = cnn(norm)
    if isinstance(net[1], nn.LayerNorm):
        nn.init.constant_(net[1].weight, 1.5)
        nn.init.zeros_(net[1].bias)
    new = convert_norm(net, to=to, groups=4, example=X)
    wanted = {"batch": nn.modules.batchnorm._BatchNorm, "group": nn.GroupNorm, "none": nn.Identity}
    wanted["layer"] = (nn.GroupNorm, nn.LayerNorm)
    assert isinstance(new[1], wanted[to])
    assert new(X).shape == (8, 4)
    if to == "group":
        assert new[1].num_groups == 4
    if to == "layer" and isinstance(new[1], nn.GroupNorm):
        assert new[1].num_groups == 1
    if to in ("batch", "group") and not isinstance(net[1], nn.LayerNorm):
        assert torch.equal(new[1].weight, net[1].weight)
        assert torch.equal(new[1].bias, net[1].bias)


def test_without_normalisation_the_layer_in_front_gets_the_missing_bias():
    net = cnn()
    new = convert_norm(net, to="none")
    assert new[0].bias.tolist() == [0] * 8
    assert new[4].bias.shape == (4,)
    assert net[0].bias is None
    plain = nn.Sequential(*(module for module in net if not isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))))
    torch.testing.assert_close(new(X), plain(X))
    kept = nn.Sequential(
        nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3, affine=False)
    )
    new = convert_norm(kept, to="none")
    assert torch.equal(new[0].bias, kept[0].bias)
    assert new[2].bias is None


def test_statistics_start_anew_and_settings_stay():
    net = cnn(lambda c: nn.GroupNorm(4, c, eps=1e-3), lambda c: nn.LayerNorm(c)).double().eval()
    net[1].weight.requires_grad_(False)
    new = convert_norm(net, to="batch", momentum=0.3, example=X.double())
    assert isinstance(new[1], nn.BatchNorm2d)
    assert isinstance(new[5], nn.BatchNorm1d)
    assert not isinstance(new[5], BatchNormLast)
    assert (new[1].eps, new[1].momentum, new[1].training) == (1e-3, 0.3, False)
    assert new[1].running_mean.dtype == torch.float64
    assert new[1].running_mean.tolist() == [0] * 8
    assert not new[1].weight.requires_grad
    assert net[5].training is False
    reset = convert_norm(cnn(), to="group", groups=2, affine="reset")
    assert reset[1].weight.tolist() == [1] * 8
    bare = convert_norm(nn.Sequential(nn.BatchNorm1d(4, affine=False)), to="group", groups=2)
    assert bare[0].weight is None


def test_channels_in_the_last_dimension():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6))
    x = torch.randn(4, 5, 6)
    batch = convert_norm(net, to="batch")
    assert isinstance(batch[1], BatchNormLast)
    hidden = net[0](x)
    flat = nn.functional.batch_norm(hidden.reshape(20, 6), None, None, training=True)
    torch.testing.assert_close(batch(x), flat.view(4, 5, 6))
    group = convert_norm(net, to="group", groups=3)
    assert isinstance(group[1], GroupNormLast)
    torch.testing.assert_close(group(x), nn.functional.group_norm(hidden.reshape(20, 6), 3).view(4, 5, 6))
    for other in (batch, group):
        back = convert_norm(other, to="layer")
        assert isinstance(back[1], nn.LayerNorm)
        torch.testing.assert_close(back(x), net(x))


def test_a_shared_norm_stays_shared_and_a_lone_one_is_replaced():
    norm = nn.BatchNorm1d(4)
    new = convert_norm(nn.Sequential(norm, nn.ReLU(), norm), to="layer")
    assert new[0] is new[2]
    assert isinstance(convert_norm(norm, to="layer"), nn.GroupNorm)


def lopsided():
    net = nn.Sequential(nn.LayerNorm([2, 3, 3]))
    nn.init.normal_(net[0].weight)
    return net


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: convert_norm(cnn(), to="rms"), "to = 'rms': must be one of batch, layer, group, none"),
        (lambda: convert_norm(cnn(), to="group", groups=3), "groups = 3: must divide the 8 channels of layer 1"),
        (lambda: convert_norm(cnn(), to="group", groups=0), "groups = 0: must divide"),
        (lambda: convert_norm(cnn(lambda c: nn.GroupNorm(2, c)), to="batch"), r"example = None: layer 1 \(GroupNorm\)"),
        (lambda: convert_norm(lopsided(), to="batch"), r"layer 0 has parameters \(2, 3, 3\) that differ"),
        (lambda: convert_norm(cnn(), to="group", affine="copy"), "affine = 'copy': must be keep or reset"),
        (lambda: convert_norm(cnn(), to="layer", momentum=2.0), r"momentum = 2.0: must be a number in \[0, 1\]"),
        (lambda: convert_norm(nn.Sequential(nn.LazyBatchNorm1d()), to="layer"), "must have seen an input first"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(InputError, match=message):
        build()
