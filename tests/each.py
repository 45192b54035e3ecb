"""One test over a list of cases that fails with every case that fails, where a test for each would say no more."""

import functools
import inspect


def each(names, cases, ids=None):
    """Decorate a test that is called with every one of some cases, in one run, and tells all that fail.

    For one rule over a list whose cases take no time. Fixtures are made once for all cases, so a case must leave them
    as they were. Decorators can be stacked: then every case of one meets every case of the other.

    Args:
        names: the test's parameters that a case fills, as in `pytest.mark.parametrize`.
        cases: one value for each, or a tuple of values if there are several names; a dict's keys, if it is a dict.
        ids: what to call the cases where their values say little, in their order.
    """
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    given = [(case,) if len(names) == 1 else tuple(case) for case in cases]
    ids = list(ids or (", ".join(map(_short, case)) for case in given))
    assert given, "at least one case"
    assert all(len(case) == len(names) for case in given) and len(ids) == len(given), "a value for each name"

    def decorate(test):
        @functools.wraps(test)
        def all_cases(**fixtures):
            failed = []
            for name, case in zip(ids, given, strict=True):
                try:
                    test(**fixtures, **dict(zip(names, case, strict=True)))
                except Exception as error:
                    failed.append((name, error))
            if failed:
                told = "\n".join(f"- {name}: {type(error).__name__}: {error}" for name, error in failed)
                raise AssertionError(f"{len(failed)} of {len(given)} cases fail:\n{told}") from failed[0][1]

        signature = inspect.signature(test)
        assert set(names) <= set(signature.parameters), "a test has a parameter for each name"
        kept = [parameter for name, parameter in signature.parameters.items() if name not in names]
        all_cases.__signature__ = signature.replace(parameters=kept)
        return all_cases

    return decorate


def _short(value):
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
