"""One `steelbench run`: preparation, jobs, worker processes, finished runs in the results folder."""
