"""What an error says to the user."""

import pytest

from steelbench.errors import SteelbenchError, choose

CHOICES = {"vgg19": 1, "xception": 2, "efficientnet_b0": 3}


@pytest.mark.parametrize("name", CHOICES)
def test_choose_returns_what_is_a_choice(name):
    assert choose("backbone", name, CHOICES) == name


@pytest.mark.parametrize(
    ("typed", "meant"), [("vgg-19", "vgg19"), ("VGG19", None), ("efficientnetb0", "efficientnet_b0"), ("", None)]
)
def test_choose_names_the_closest_then_all_sorted(typed, meant):
    hint = f" did you mean '{meant}'?" if meant else ""

    with pytest.raises(SteelbenchError) as caught:
        choose("backbone", typed, iter(CHOICES))

    assert str(caught.value) == f"unknown backbone '{typed}';{hint} Choices: efficientnet_b0, vgg19, xception."


def test_a_users_mistake_is_no_mistake_of_ours():
    assert not issubclass(SteelbenchError, (ValueError, TypeError, AssertionError))
