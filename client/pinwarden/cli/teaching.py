"""
What stands at the end of a command's --help.

It may import nothing. Each line is a whole command that can be pasted; tests hold it against the options that exist.
"""


def examples(*lines: str) -> str:
    """Return the epilog of a command that shows *lines*, each as it would be typed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
