"""Every public loss function has an example in its docstring, and the example is true."""

import doctest
import inspect

from each import each

from steelbench.models import losses

FUNCTIONS = [name for name in losses.__all__ if inspect.isfunction(getattr(losses, name))]


@each("name", FUNCTIONS)
def test_the_example_of_a_loss_runs_and_prints_what_it_says(name):
    function = getattr(losses, name)
    tests = doctest.DocTestFinder(recurse=False).find(function, name, globs={name: function})
    runner, told = doctest.DocTestRunner(), []
    for test in tests:
        runner.run(test, out=told.append)

    assert runner.summarize(verbose=False).attempted > 0, f"{name} has no example"
    assert not told, "".join(told)
