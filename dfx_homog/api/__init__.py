"""The commands as Python functions; `dfx_homog` itself exports them. cli.py calls them too."""
