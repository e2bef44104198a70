"""The networks: sizes as published, shapes, halos, and step 0."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from geofuse.nets import table

torch = pytest.importorskip("torch")
models = pytest.importorskip("geofuse.nets.arch.ms_residual")
pan_gan = pytest.importorskip("geofuse.nets.arch.pan_gan")
discriminators = pytest.importorskip("geofuse.nets.arch.discriminators")


def test_pan_gan_has_the_published_size_and_halo() -> None:
    net = pan_gan.PanGanGenerator(pan_gan.PanGanSpec(4))
    weights = 5 * 64 * 81 + 69 * 32 * 25 + 101 * 4 * 25
    assert sum(value.numel() for value in net.parameters()) == weights + 64 + 32 + 4
    made = net(torch.rand(2, 5, 30, 26))
    assert made.shape == (2, 4, 14, 10)
    assert float(made.detach().abs().max()) < 1.0


def test_pan_gan_by_hand() -> None:
    """One channel a layer, a single weight in each: tanh(x + relu(x + relu(x)))-like sums at the right place."""
    net = pan_gan.PanGanGenerator(pan_gan.PanGanSpec(1, first=1, second=1))
    with torch.no_grad():
        for value in net.parameters():
            value.zero_()
        net.first.weight[0, 0, 4, 4] = 2.0  # of U(M), in the middle
        net.second.weight[0, 1, 2, 2] = -1.0  # of P
        net.second.weight[0, 2, 2, 2] = 1.0  # of the first layer
        net.third.weight[0, 3, 2, 2] = 0.5  # of the second layer
        net.third.weight[0, 0, 2, 2] = 0.25  # of U(M)
    x = torch.zeros(1, 2, 17, 17)
    x[0, 0, 8, 8], x[0, 1, 8, 8] = 0.6, 0.4
    wanted = torch.tanh(torch.tensor(0.5 * (2.0 * 0.6 - 0.4) + 0.25 * 0.6))
    assert net(x).item() == pytest.approx(wanted.item(), rel=1e-6)


def test_a_residual_pan_gan_starts_at_upsampling() -> None:
    net = pan_gan.PanGanGenerator(pan_gan.PanGanSpec(3, residual=True))
    x = torch.rand(1, 4, 20, 20)
    assert torch.equal(net(x), x[:, :3, 8:-8, 8:-8])


@pytest.mark.parametrize("bands", [0, 3])
@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_the_ms_generator_starts_at_ridge_and_keeps_the_grid(ratio: int, bands: int) -> None:
    spec = models.MsSpec(ratio, bands=bands, width=8, blocks=2, trunk=0 if bands else 1)
    net = table.build("pan-gan-ms", {**asdict(spec), "common": list(spec.common)})
    assert net.spec == spec
    assert net.halo == (2 if bands else 3)
    k = net.halo
    common = torch.rand(2, spec.common_channels, 5 + 2 * k, 6 + 2 * k)
    own = torch.rand(2, 3, spec.own_channels, 5 + 2 * k, 6 + 2 * k)
    made = net(common, own)
    assert made.shape == (2, 3, 5 * ratio, 6 * ratio)
    assert not made.any()


def test_one_network_takes_any_number_of_bands_in_any_order() -> None:
    spec = models.MsSpec(2, width=8, blocks=1, trunk=1)
    net = models.MsGenerator(spec)
    torch.nn.init.normal_(net.leave.weight)
    common, own = torch.rand(1, spec.common_channels, 9, 9), torch.rand(1, 5, spec.own_channels, 9, 9)
    with torch.inference_mode():
        made, turned = net(common, own), net(common, own.flip(1))
        assert net(common, own[:, :2]).shape == (1, 2, 10, 10)
    torch.testing.assert_close(made, turned.flip(1))


def test_planes_are_torchs_pixel_unshuffle() -> None:
    """A pixel of PAN moves the output under it, and what a block of 3 x 3 reaches around it, alone."""
    spec = models.MsSpec(2, bands=1, width=4, blocks=1, common=("pan",), own=("ms",))
    net = models.MsGenerator(spec)
    torch.nn.init.normal_(net.leave.weight)
    pan = torch.zeros(1, 1, 14, 14)
    own = torch.zeros(1, 1, 1, 7, 7)
    with torch.inference_mode():
        before = net(torch.nn.functional.pixel_unshuffle(pan, 2), own)
        pan[0, 0, 6, 6] = 1.0  # block 3, 3 of 7 x 7; with the halo cut off, block 2, 2 of 5 x 5
        after = net(torch.nn.functional.pixel_unshuffle(pan, 2), own)
    rows, cols = torch.nonzero((after - before)[0, 0], as_tuple=True)
    assert (int(rows.min()), int(rows.max()), int(cols.min()), int(cols.max())) == (2, 7, 2, 7)


@pytest.mark.parametrize("patch", [16, 32, 128, 160])
def test_discriminators_give_one_score_for_each_patch(patch: int) -> None:
    assert discriminators.SpatialDiscriminator(patch)(torch.rand(3, 1, patch, patch)).shape == (3, 1)
    net = discriminators.SpectralDiscriminator(4, patch)
    assert net(torch.rand(2, 4, patch, patch)).shape == (2, 1)
    strides = [layer.stride[0] for layer in net.body if hasattr(layer, "stride")]
    assert strides == {16: [1, 1, 1, 2, 2], 32: [1, 1, 2, 2, 2]}.get(patch, [2] * 5)
