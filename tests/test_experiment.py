"""Settings are checked when they are made; names become files."""

import dataclasses

import pytest
from each import each

from steelbench.errors import SteelbenchError
from steelbench.experiment import (
    METHODS,
    Experiment,
    Finetune,
    Linear,
    RunOptions,
    Settings,
    Softmax,
    Supcon,
    parse_assignments,
    with_fields,
)
from steelbench.records import RunKey


def refusal(make, *arguments, **fields):
    with pytest.raises(SteelbenchError) as caught:
        make(*arguments, **fields)
    message = str(caught.value)
    assert "\n" not in message and "pydantic" not in message.lower() and message.endswith(".")
    return message


@each("name", METHODS)
def test_every_method_has_settings_with_defaults_of_its_own(name):
    settings = METHODS[name].settings()

    assert settings.kind == name
    assert type(settings)(**settings.model_dump()) == settings
    assert METHODS[name].summary and ":" in METHODS[name].train + METHODS[name].train_images
    assert issubclass(METHODS[name].settings, Settings)


@each("name", METHODS)
def test_every_method_explains_an_unknown_field(name):
    message = refusal(METHODS[name].settings, nonsense=1)

    assert f"unknown field of {name} 'nonsense'" in message
    assert all(field in message for field in METHODS[name].settings.model_fields)


@pytest.mark.parametrize(
    ("fields", "start", "words"),
    [
        ({"dropout": 1.5}, "softmax.dropout is 1.5;", "less than 1. The default is 0.2."),
        ({"dropout": -0.1}, "softmax.dropout is -0.1;", "greater than or equal to 0"),
        ({"epochs": 0}, "softmax.epochs is 0;", "greater than or equal to 1. The default is 10."),
        ({"epochs": 2.5}, "softmax.epochs is 2.5;", "integer"),
        ({"epochs": "many"}, "softmax.epochs is 'many';", "integer"),
        ({"hidden": None}, "softmax.hidden is None;", "integer"),
        ({"learning_rate": 0}, "softmax.learning_rate is 0;", "greater than 0. The default is 0.001."),
        ({"learning_rate": "nan"}, "softmax.learning_rate is 'nan';", "The default is 0.001."),
        ({"learning_rate": float("inf")}, "softmax.learning_rate is inf;", "The default"),
        ({"decay": float("nan")}, "softmax.decay is nan;", "The default is 0.9."),
        ({"schedule": "cosine"}, "softmax.schedule is 'cosine';", "'warmup_cosine'. The default is 'constant'."),
        ({"batch_size": 10**6}, "softmax.batch_size is 1000000;", "less than or equal to 4096"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_bound_and_default(fields, start, words):
    message = refusal(Softmax, **fields)

    assert message.startswith(start) and words in message


@each("c", [(), (0.0,), (1.0, -1.0), ("x",), ("",), ("inf",), ("nan", 1.0), None])
def test_regularisation_strengths_are_positive_numbers(c):
    assert refusal(Linear, c=c).startswith("linear.c is ")


@each("wrong", ["last", "last:0", "first:3", "everything", "last:-1"])
@each("settings", [Finetune, Supcon])
def test_which_layers_learn_is_all_or_the_last(settings, wrong):
    with pytest.raises(SteelbenchError, match="expected all, or last:N"):
        settings(trainable=wrong)


def test_a_close_name_is_suggested():
    assert "did you mean 'dropout'?" in refusal(Softmax, dropot=0.1)


def test_settings_are_frozen_and_compare_by_value():
    settings = Softmax(dropout=0.3)

    with pytest.raises(ValueError, match="frozen"):
        settings.dropout = 0.4
    assert settings == Softmax(dropout="0.3") and settings != Softmax()
    assert len({settings, Softmax(dropout=0.3), Softmax()}) == 2


@each(
    ("fields", "words"),
    [
        ({"folds": 0}, "options.folds is 0;"),
        ({"seeds": 1001}, "options.seeds is 1001;"),
        ({"split": "leaky"}, "'grouped', 'random' or 'regroup'. The default is 'grouped'."),
        ({"engine": "torch"}, "'auto', 'keras' or 'openvino'"),
        ({"precision": "int8"}, "'float32', 'bfloat16' or 'float16'"),
        ({"image_size": 31}, "options.image_size is 31;"),
        ({"bit_depth": 7}, "options.bit_depth is 7;"),
        ({"bit_depth": 17}, "options.bit_depth is 17;"),
        ({"verify": "no"}, "'sample' or 'full'"),
        ({"seed": 3}, "unknown field of options 'seed'; did you mean 'seeds'?"),
    ],
)
def test_options_are_checked_before_anything_runs(fields, words):
    assert words in refusal(RunOptions, data="x", **fields)


def test_options_without_data():
    assert refusal(RunOptions) == "options.data is missing; field required."


def test_options_are_recorded_as_plain_values():
    options = RunOptions(data="demo", results="out/x", bit_depth="12")

    assert RunOptions(**options.model_dump(mode="json")) == options
    assert options.model_dump(mode="json")["results"] == "out/x" and options.bit_depth == 12


@each("variant", ["Size", "a b", "a/b", "a:b", "a-b", "ü", "a\n", "../x"])
def test_a_variant_is_a_slug(variant):
    with pytest.raises(SteelbenchError) as caught:
        Experiment(backbone="vgg19", method=Softmax(), variant=variant)

    assert f"variant '{variant}' is not a slug" in str(caught.value)


@pytest.mark.parametrize(
    ("backbone", "variant", "name"),
    [
        ("vgg19", "", "vgg19-linear"),
        ("vgg19", "size=320", "vgg19-linear-size=320"),
        ("hub:google/vit", "t=0.05", "hub_google_vit-linear-t=0.05"),
    ],
)
def test_the_names_of_an_experiment(backbone, variant, name):
    one = Experiment(backbone=backbone, method=Linear(), variant=variant, seed=3, fold=4)

    assert (one.name, one.run_name) == (name, f"{name}-s3-f4")
    assert dataclasses.replace(one, seed=0, fold=0).run_name == f"{name}-s0-f0"
    assert one.key == RunKey(backbone=backbone, method="linear", variant=variant, seed=3, fold=4)


@each("name", METHODS)
def test_an_experiment_knows_its_networks_and_its_method_by_name(name):
    experiment = Experiment(backbone="vgg19+hub:x", method=METHODS[name].settings())

    assert experiment.networks == ("vgg19", "hub:x") and experiment.method_name == name
    assert dataclasses.replace(experiment, backbone="vgg19").networks == ("vgg19",)


def test_assignments_become_fields_by_method():
    given = ["softmax.dropout=0.3", "linear.c=0.1,1", "softmax.epochs=5", "softmax.dropout=0.4", "softmax.schedule=a=b"]

    assert parse_assignments(given, ["softmax", "linear"]) == {
        "softmax": {"dropout": "0.4", "epochs": "5", "schedule": "a=b"},
        "linear": {"c": ("0.1", "1")},
    }
    assert parse_assignments([], ["softmax"]) == {}


@each("text", ["softmax.dropout", "dropout=1", "Softmax.dropout=1", "softmax dropout=1", "=", ""])
def test_assignments_of_another_form_are_refused_with_an_example(text):
    assert "is not METHOD.FIELD=VALUE, as in --set softmax.dropout=0.3." in refusal(
        parse_assignments, [text], ["softmax"]
    )


def test_assignments_to_what_does_not_run_are_refused():
    assert "did you mean 'softmax'?" in refusal(parse_assignments, ["sofmax.dropout=1"], ["softmax"])
    assert "add it to --methods" in refusal(parse_assignments, ["linear.c=1"], ["softmax"])


def test_texts_are_converted_by_the_settings():
    (fields,) = parse_assignments(["linear.c=0.1,1"], ["linear"]).values()

    assert with_fields(Linear(), fields) == Linear(c=(0.1, 1.0))
    assert with_fields(Softmax(hidden=3), {"dropout": "0.5"}) == Softmax(hidden=3, dropout=0.5)
    assert "softmax.dropout is '';" in refusal(with_fields, Softmax(), {"dropout": ""})


def test_epochs_go_where_there_are_epochs_and_an_assignment_wins():
    assert with_fields(Softmax(), {}, epochs=3).epochs == 3
    assert with_fields(Softmax(), {"epochs": "7"}, epochs=3).epochs == 7
    assert with_fields(Linear(), {}, epochs=3) == Linear()
    assert "softmax.epochs is 0" in refusal(with_fields, Softmax(), {}, epochs=0)
    assert "unknown field of linear 'epochs'" in refusal(with_fields, Linear(), {"epochs": "3"})


def test_settings_without_changes_stay_the_same_object():
    settings = Softmax()

    assert with_fields(settings, {}) is settings
