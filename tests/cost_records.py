"""Made-up costs of rows, to test what is drawn of them."""

from steelbench.records import Cost, EngineTime


def costed(row, milliseconds, *engines, **fields):
    """The row with a cost on its own engine, or on each of `engines`, each a millisecond slower than the one before."""
    times = [
        EngineTime(
            **{
                "engine": engine,
                "precision": row.precision,
                "device": "CPU",
                "threads": 2,
                "batch": 8,
                "repetitions": 30,
                "ms_p50": milliseconds + place,
                "ms_p99": 1.25 * (milliseconds + place),
                "ms_mad": 0.125,
                "images_per_second": 1200 / (milliseconds + place),
                "others": 0.01,
            }
            | fields
        )
        for place, engine in enumerate(engines or (row.engine,))
    ]
    cost = Cost(fingerprint="f", multiply_adds=383_916_512, memory_bytes=23_321_756, times=times)
    return row.model_copy(update={"cost": cost})
