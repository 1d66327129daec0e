"""The pages of this folder are run as doctests; its settings and built files are not."""

collect_ignore = ["conf.py", "_build", "auto_examples", "generated"]
