"""What the commands of `steelbench` do, one module each; `cli.py` names their options."""
